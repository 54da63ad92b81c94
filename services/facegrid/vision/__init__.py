"""From photographs to templates: decode, detect, align, embed; model packs."""

import os

# Read when ONNX Runtime is loaded: without it, it keeps a device id in the home folder and reports.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
