"""Face detectors, each behind one call: upright RGB pixels in, faces out."""
