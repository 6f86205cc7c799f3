"""Several processes of one training: who they are and how they start and end."""
