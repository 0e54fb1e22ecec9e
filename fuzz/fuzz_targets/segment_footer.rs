//! Whatever the sections of a segment hold, opening it answers or fails, and what it answers can be
//! asked everything.
//!
//! Checksums would turn nearly every input away, so the target writes the object's end itself: the
//! input only chooses what the sections and the facts say.
#![no_main]

use segment::{Footer, Required, decode_cells, prune, verify};
use xxhash_rust::xxh3::xxh3_64;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Footer::decode(bytes, bytes.len() as u64);
    let _ = verify(bytes);
    let Some((&start, rest)) = bytes.split_first_chunk::<4>() else { return };
    let start = u64::from(u32::from_le_bytes(start));
    let [cells, streams, index, blocks, facts] = parts(rest);
    let tail = object_end(start, [cells, streams, index, blocks], facts);
    let file_len = start + (cells.len() + tail.len()) as u64;
    let Ok(footer) = Footer::decode(&tail, file_len) else { return };
    for ordinal in 0..footer.streams().len() as u32 {
        let labels = footer.streams().labels(ordinal);
        let _ = (labels.fingerprint(), footer.streams().fingerprint(ordinal));
    }
    if let Ok(cells) = decode_cells(&footer, cells) {
        let blocks = footer.blocks().iter().enumerate();
        for (block, meta) in blocks {
            let lines: Option<u64> = cells.block(block).map(|cells| cells.map(|c| c.lines).sum());
            assert!(lines.is_none_or(|lines| lines == u64::from(meta.rows)));
        }
    }
    let text = [b"needle-3f9a1c77e2b84d60"[..].into()];
    let plan = prune(&footer, &[Required::AnyOf(&text), Required::Metadata("name", "value of it")]);
    let _ = (plan.ranges(), footer.name().to_string(), footer.memory_bytes());
});

/// Cuts the input by lengths of two bytes.
fn parts(mut bytes: &[u8]) -> [&[u8]; 5] {
    [(); 5].map(|()| {
        let Some((&len, rest)) = bytes.split_first_chunk::<2>() else { return &[][..] };
        let (part, behind) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes(len))));
        bytes = behind;
        part
    })
}

/// The end of an object whose sections begin at `start`, from its stream table on.
fn object_end(start: u64, sections: [&[u8]; 4], facts: &[u8]) -> Vec<u8> {
    // Types: token index (empty), cells, streams, index directory, blocks.
    let entries =
        [(1u16, &[][..]), (3, sections[0]), (4, sections[1]), (6, sections[2]), (5, sections[3])];
    let mut footer = vec![entries.len() as u8];
    let mut offset = start;
    for (code, payload) in entries {
        let required = u16::from(code == 4 || code == 5);
        for number in [code, required, 1] {
            footer.extend_from_slice(&number.to_le_bytes());
        }
        footer.push(0);
        for number in [offset, payload.len() as u64, payload.len() as u64] {
            varint(number, &mut footer);
        }
        footer.extend_from_slice(&xxh3_64(payload).to_le_bytes());
        offset += payload.len() as u64;
    }
    footer.extend_from_slice(facts);
    let mut end = sections[1..].concat();
    end.extend_from_slice(&footer);
    let mut tail = ((end.len() + 32) as u64).to_le_bytes().to_vec();
    tail.extend_from_slice(&(footer.len() as u32).to_le_bytes());
    tail.extend_from_slice(&[0, 0, 1, 0]);
    tail.extend_from_slice(&xxh3_64(&footer).to_le_bytes());
    tail.extend_from_slice(b"LSEG");
    tail.extend_from_slice(&crc32c::crc32c(&tail).to_le_bytes());
    end.extend_from_slice(&tail);
    end
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
