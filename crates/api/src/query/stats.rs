//! The `stats` block of an answer, in Loki's shape.
//!
//! Clients expect every key. Keys for parts that this program does not have (result caches, blooms,
//! data objects) are written as zero. Blocks stand where Loki has chunks, heads where it has the
//! ingester's chunks.

use model::answer::QueryStats;

use super::json::{write_float, write_string, write_unsigned};

/// How long a query took and into how many parts it was cut.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Timing {
    /// Seconds of work, from start to answer.
    pub exec_seconds: f64,
    /// Seconds spent waiting for a turn.
    pub queue_seconds: f64,
    /// Parts by time.
    pub splits: u64,
    /// Parts by stream.
    pub shards: u64,
    /// Parts run in all.
    pub subqueries: u64,
}

/// Writes the `stats` object.
pub fn write_stats(stats: &QueryStats, timing: &Timing, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.nested("summary", |object| write_summary(stats, timing, object));
    object.nested("querier", |object| {
        object.nested("store", |object| write_segments(stats, object));
        object.float("querierExecTime", timing.exec_seconds);
    });
    object.nested("ingester", |object| {
        object.number("totalReached", u64::from(stats.head_lines > 0));
        object.zeros(&["totalChunksMatched", "totalBatches", "totalLinesSent"]);
        object.nested("store", |object| write_heads(stats, object));
    });
    object.nested("cache", write_caches);
    object.nested("index", |object| {
        object.number("totalChunks", stats.blocks_selected);
        object.number("postFilterChunks", stats.blocks_read);
        object.zeros(&["shardsDuration"]);
        object.falsehood("usedBloomFilters");
        object.zeros(&["totalStreams", "chunkRefsLookupTime", "bloomFilterTime"]);
    });
    object.close();
}

fn write_summary(stats: &QueryStats, timing: &Timing, object: &mut Object<'_>) {
    let bytes = stats.head_bytes + stats.decompressed_bytes;
    let lines = stats.head_lines + stats.decompressed_lines;
    let per_second = |amount: u64| {
        if timing.exec_seconds > 0.0 { (amount as f64 / timing.exec_seconds) as u64 } else { 0 }
    };
    object.number("bytesProcessedPerSecond", per_second(bytes));
    object.number("linesProcessedPerSecond", per_second(lines));
    object.number("totalBytesProcessed", bytes);
    object.number("totalLinesProcessed", lines);
    object.float("execTime", timing.exec_seconds);
    object.float("queueTime", timing.queue_seconds);
    object.number("subqueries", timing.subqueries);
    object.number("totalEntriesReturned", stats.entries_returned);
    object.number("splits", timing.splits);
    object.number("shards", timing.shards);
    object.number("totalPostFilterLines", stats.post_filter_lines);
    object.number("totalStructuredMetadataBytesProcessed", stats.metadata_bytes);
}

fn write_segments(stats: &QueryStats, object: &mut Object<'_>) {
    let chunk = Chunk {
        head_bytes: 0,
        head_lines: 0,
        decompressed_bytes: stats.decompressed_bytes,
        decompressed_lines: stats.decompressed_lines,
        compressed_bytes: stats.compressed_bytes,
        duplicates: stats.duplicates,
        post_filter_lines: stats.post_filter_lines,
        metadata_bytes: stats.metadata_bytes,
    };
    write_store(stats.blocks_selected, stats.blocks_read, &chunk, object);
}

fn write_heads(stats: &QueryStats, object: &mut Object<'_>) {
    let chunk =
        Chunk { head_bytes: stats.head_bytes, head_lines: stats.head_lines, ..Chunk::default() };
    write_store(0, 0, &chunk, object);
}

/// The innermost block of numbers.
#[derive(Default)]
struct Chunk {
    head_bytes: u64,
    head_lines: u64,
    decompressed_bytes: u64,
    decompressed_lines: u64,
    compressed_bytes: u64,
    duplicates: u64,
    post_filter_lines: u64,
    metadata_bytes: u64,
}

fn write_store(selected: u64, read: u64, chunk: &Chunk, object: &mut Object<'_>) {
    object.number("totalChunksRef", selected);
    object.number("totalChunksDownloaded", read);
    object.zeros(&["chunksDownloadTime"]);
    object.falsehood("queryReferencedStructuredMetadata");
    object.falsehood("queryUsedV2Engine");
    object.nested("chunk", |object| {
        object.number("headChunkBytes", chunk.head_bytes);
        object.number("headChunkLines", chunk.head_lines);
        object.number("decompressedBytes", chunk.decompressed_bytes);
        object.number("decompressedLines", chunk.decompressed_lines);
        object.number("compressedBytes", chunk.compressed_bytes);
        object.number("totalDuplicates", chunk.duplicates);
        object.number("postFilterLines", chunk.post_filter_lines);
        object.zeros(&["headChunkStructuredMetadataBytes"]);
        object.number("decompressedStructuredMetadataBytes", chunk.metadata_bytes);
    });
    object.zeros(&[
        "chunkRefsFetchTime",
        "congestionControlLatency",
        "pipelineWrapperFilteredLines",
    ]);
    object.nested("dataobj", |object| object.zeros(DATA_OBJECT_KEYS));
}

const DATA_OBJECT_KEYS: &[&str] = &[
    "prePredicateDecompressedRows",
    "prePredicateDecompressedBytes",
    "prePredicateDecompressedStructuredMetadataBytes",
    "postPredicateRows",
    "postPredicateDecompressedBytes",
    "postPredicateStructuredMetadataBytes",
    "postFilterRows",
    "pagesScanned",
    "pagesDownloaded",
    "pagesDownloadedBytes",
    "pageBatches",
    "totalRowsAvailable",
    "totalPageDownloadTime",
    "wireBytesTransferred",
];

fn write_caches(object: &mut Object<'_>) {
    let caches = [
        "chunk",
        "index",
        "result",
        "statsResult",
        "volumeResult",
        "seriesResult",
        "labelResult",
        "instantMetricResult",
        "logResult",
        "taskResult",
    ];
    for cache in caches {
        object.nested(cache, |object| {
            object.zeros(&[
                "entriesFound",
                "entriesRequested",
                "entriesStored",
                "bytesReceived",
                "bytesSent",
                "requests",
                "downloadTime",
                "queryLengthServed",
            ]);
        });
    }
}

/// An object being written.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    fn close(self) {
        self.out.push(b'}');
    }

    fn key(&mut self, name: &str) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        write_string(name, self.out);
        self.out.push(b':');
    }

    fn number(&mut self, name: &str, number: u64) {
        self.key(name);
        write_unsigned(number, self.out);
    }

    fn float(&mut self, name: &str, number: f64) {
        self.key(name);
        // Infinities and NaN are no JSON numbers.
        write_float(if number.is_finite() { number } else { 0.0 }, self.out);
    }

    fn zeros(&mut self, names: &[&str]) {
        for name in names {
            self.number(name, 0);
        }
    }

    fn falsehood(&mut self, name: &str) {
        self.key(name);
        self.out.extend_from_slice(b"false");
    }

    fn nested(&mut self, name: &str, write: impl FnOnce(&mut Object<'_>)) {
        self.key(name);
        let mut object = Object::open(self.out);
        write(&mut object);
        object.close();
    }
}
