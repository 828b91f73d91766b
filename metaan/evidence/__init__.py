"""Audited response data of skin-directed cancer therapy: selected, explained, counted."""
