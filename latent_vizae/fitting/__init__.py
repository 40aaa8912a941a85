"""fit: from codes to v. The recipe is in fit.py."""
