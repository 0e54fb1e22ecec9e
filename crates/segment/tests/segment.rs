//! The segment as its users see it: rows in, bytes, rows out.

#[cfg(test)]
#[path = "segment/columns.rs"]
mod columns;
#[cfg(test)]
#[path = "segment/damage.rs"]
mod damage;
#[cfg(test)]
#[path = "segment/digest.rs"]
mod digest;
#[cfg(test)]
#[path = "segment/fixture.rs"]
mod fixture;
#[cfg(test)]
#[path = "segment/fixture_rows.rs"]
mod fixture_rows;
#[cfg(test)]
#[path = "segment/program_lines.rs"]
mod program_lines;
#[cfg(test)]
#[path = "segment/prune.rs"]
mod prune;
#[cfg(test)]
#[path = "segment/round_trip.rs"]
mod round_trip;
#[cfg(test)]
#[path = "segment/rows.rs"]
mod rows;
