"""A simulated language model behind the OpenAI protocol; it imports nothing of the study (README, "The sandbox")."""
