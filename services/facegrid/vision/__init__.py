"""From photographs to templates: decode, detect, align, embed; model packs."""
