"""Pushes one line with python-logging-loki to the server named on the command line."""
import logging
import sys

import logging_loki

handler = logging_loki.LokiHandler(
    url=sys.argv[1] + "/loki/api/v1/push",
    tags={"application": "python-test"},
    version="1",
)
logger = logging.getLogger("test")
logger.addHandler(handler)
logger.warning("hello from python-logging-loki")
