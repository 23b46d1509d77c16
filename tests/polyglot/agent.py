"""An agent in another language: the official OpenTelemetry SDK for Python, configured by nothing but
OTEL_EXPORTER_OTLP_ENDPOINT (and OTEL_EXPORTER_OTLP_PROTOCOL, which names the transport).

Usage: agent.py NAME EXECUTIONS. Each execution has two model calls of 100 + 20 tokens and two tool calls; every
fifth one fails.
"""

import os
import sys

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") == "http/protobuf":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

name, executions = sys.argv[1], int(sys.argv[2])
provider = TracerProvider(resource=Resource.create({"service.name": "polyglot"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("example.agents")

for number in range(1, executions + 1):
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}
    with tracer.start_as_current_span(f"invoke_agent {name}", attributes=attributes) as agent:
        for call in range(2):
            with tracer.start_as_current_span(
                "chat model-x",
                attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "model-x"},
            ) as chat:
                chat.set_attribute("gen_ai.response.model", "model-x-2026")
                chat.set_attribute("gen_ai.usage.input_tokens", 100)
                chat.set_attribute("gen_ai.usage.output_tokens", 20)
            with tracer.start_as_current_span(
                "execute_tool search",
                attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"},
            ):
                pass
        if number % 5 == 0:
            agent.set_status(trace.StatusCode.ERROR, "the example fails every fifth time")

if not provider.force_flush(20_000):
    sys.exit("the exporter could not deliver everything")
provider.shutdown()
