"""The scaling experiment: how much more actors and Redis servers bring, what stops them, and what to add next."""
