"""The published study's figures and tables."""
