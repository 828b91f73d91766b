"""What is asked after a fit: subgroups and their contrasts."""
