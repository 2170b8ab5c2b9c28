"""Plays: teacher actors that label what they see, evaluators that score, and the recorder of videos."""
