"""Policy Distillery: a model as a folder ready for a hub: card, weights, ONNX, film, and a page on which it plays."""
