"""The commands of exported models."""
