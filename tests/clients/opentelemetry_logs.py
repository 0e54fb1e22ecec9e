"""Pushes one line with OpenTelemetry's OTLP/HTTP exporter to the server named on the command line."""
import logging
import sys

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

provider = LoggerProvider(resource=Resource.create({"service.name": "otel-test"}))
exporter = OTLPLogExporter(endpoint=sys.argv[1] + "/otlp/v1/logs")
provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
logger = logging.getLogger("test")
logger.addHandler(LoggingHandler(logger_provider=provider))
logger.error("hello from opentelemetry")
provider.shutdown()
