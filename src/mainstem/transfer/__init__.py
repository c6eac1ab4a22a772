"""Events from a store into files and back: `import_events` and `export_events`."""

from mainstem.transfer.compression import Compression
from mainstem.transfer.exporting import ExportCounts, Wanted, export_events
from mainstem.transfer.importing import ImportSummary, import_events

__all__ = [
    "Compression",
    "ExportCounts",
    "ImportSummary",
    "Wanted",
    "export_events",
    "import_events",
]
