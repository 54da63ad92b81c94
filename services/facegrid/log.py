"""The log: one event a line on standard error, for people or as JSON."""

import logging
import sys

import structlog
from structlog.typing import Processor


def configure_log(*, json: bool, quiet: bool = False) -> None:
    """Set the process's log up; `quiet` leaves warnings and errors."""
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING if quiet else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
