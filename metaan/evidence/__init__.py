"""The evidence base: audited response data of skin-directed cancer therapy, selected, explained and counted."""
