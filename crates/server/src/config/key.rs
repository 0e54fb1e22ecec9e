//! One table row per configuration key: where it stands in YAML, its flag, its meaning.
//!
//! YAML reading, flags, `-help`, `/config` and `docs/config.md` are all made from these rows.

use serde_json::Value;

use super::Config;
use super::setting::Setting;

/// A configuration key of a structure `C`.
pub struct Key<C: 'static> {
    /// Place in YAML, levels joined with dots.
    pub path: &'static str,
    /// The command-line flag, without dashes; empty when there is none.
    pub flag: &'static str,
    /// What it does, its unit, and what changes when it grows.
    pub doc: &'static str,
    /// What a value looks like.
    pub shape: &'static str,
    /// Reads a value into the structure.
    pub set: fn(&mut C, &Value) -> Result<(), String>,
    /// The value in force.
    pub get: fn(&C) -> Value,
}

/// Declares rows: `"yaml.path", "flag", field.path, "meaning";`
macro_rules! keys {
    ($config:ty; $($path:literal, $flag:literal, $($field:ident).+, $doc:literal;)*) => {
        &[$($crate::config::key::Key::<$config> {
            path: $path,
            flag: $flag,
            doc: $doc,
            shape: $crate::config::key::shape_of(|config: &$config| &config.$($field).+),
            set: |config, value| {
                config.$($field).+ = $crate::config::setting::Setting::read(value)?;
                Ok(())
            },
            get: |config| $crate::config::setting::Setting::print(&config.$($field).+),
        }),*]
    };
}
pub(crate) use keys;

/// The shape of the type that a field accessor answers.
pub const fn shape_of<C, T: Setting>(_field: fn(&C) -> &T) -> &'static str {
    T::SHAPE
}

/// Every key outside `limits_config`, block by block.
pub fn all() -> impl Iterator<Item = &'static Key<Config>> {
    super::blocks::BLOCKS.iter().flat_map(|block| block.iter())
}
