"""Events from a store into files and back: `import_events` and `export_events`."""

from mainstem.transfer.exporting import ExportCounts, export_events
from mainstem.transfer.importing import ImportSummary, import_events

__all__ = ["ExportCounts", "ImportSummary", "export_events", "import_events"]
