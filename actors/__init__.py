"""Plays for Policy Distillery: teacher actors that label what they see, evaluators that score, recorder of videos."""
