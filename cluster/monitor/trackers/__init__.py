"""Policy Distillery: where a run's figures go beside its own folder: TensorBoard, Weights & Biases, MLflow."""
