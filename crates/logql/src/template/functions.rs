//! The table of functions: names, parameters and what they do.

use std::borrow::Cow;

use model::Pattern;

use super::go_time::Time;
use super::value::Value;
use super::{Data, builtins, encoding, math, text, times};

/// A parameter's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// Anything; nil included.
    Any,
    /// Anything, even no value.
    Raw,
    Text,
    Int,
    Float,
    Time,
}

impl Type {
    /// The Go name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Raw => "reflect.Value",
            Self::Text => "string",
            Self::Int => "int",
            Self::Float => "float64",
            Self::Time => "time.Time",
        }
    }

    /// Whether a value is of this type.
    pub(super) fn takes(self, value: &Value<'_>) -> bool {
        match self {
            Self::Any | Self::Raw => true,
            Self::Text => matches!(value, Value::Text(_)),
            Self::Int => matches!(value, Value::Int(_)),
            Self::Float => matches!(value, Value::Float(_)),
            Self::Time => matches!(value, Value::Time(_)),
        }
    }
}

/// What a function answers: a value, or the fault's words.
pub(super) type Outcome<'a> = Result<Value<'a>, String>;

/// The arguments of a call. They fit the function's parameters.
pub(super) struct Call<'c, 'a> {
    pub(super) args: &'c [Value<'a>],
    pub(super) data: &'a dyn Data,
    /// The first argument as a regular expression, when the template has it literally.
    pub(super) pattern: Option<&'c Pattern>,
}

impl<'c> Call<'c, '_> {
    /// An argument of type [`Type::Text`].
    pub(super) fn text(&self, at: usize) -> &'c [u8] {
        match &self.args[at] {
            Value::Text(text) => text,
            _ => b"",
        }
    }

    /// An argument of type [`Type::Text`], as characters.
    pub(super) fn lossy(&self, at: usize) -> Cow<'c, str> {
        String::from_utf8_lossy(self.text(at))
    }

    /// An argument of type [`Type::Int`].
    pub(super) fn int(&self, at: usize) -> i64 {
        self.args[at].as_int().unwrap_or(0)
    }

    /// An argument of type [`Type::Time`].
    pub(super) fn time(&self, at: usize) -> Time {
        match &self.args[at] {
            Value::Time(time) => time.clone(),
            _ => Time::zero(),
        }
    }
}

/// A function.
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) params: &'static [Type],
    /// The type of further arguments, if any may follow.
    pub(super) rest: Option<Type>,
    pub(super) call: for<'a> fn(&Call<'_, 'a>) -> Outcome<'a>,
}

const fn fixed(
    name: &'static str,
    params: &'static [Type],
    call: for<'a> fn(&Call<'_, 'a>) -> Outcome<'a>,
) -> Function {
    Function { name, params, rest: None, call }
}

const fn open(
    name: &'static str,
    params: &'static [Type],
    rest: Type,
    call: for<'a> fn(&Call<'_, 'a>) -> Outcome<'a>,
) -> Function {
    Function { name, params, rest: Some(rest), call }
}

use Type::{Any, Float, Int, Raw, Text, Time as Moment};

/// Every function, by family.
const FUNCTIONS: &[Function] = &[
    // Built into the language. `and` and `or` are evaluated by the executor.
    open("and", &[Raw], Raw, builtins::last),
    open("or", &[Raw], Raw, builtins::last),
    fixed("not", &[Raw], builtins::not),
    open("eq", &[Raw], Raw, builtins::eq),
    fixed("ne", &[Raw, Raw], builtins::ne),
    fixed("lt", &[Raw, Raw], builtins::lt),
    fixed("le", &[Raw, Raw], builtins::le),
    fixed("gt", &[Raw, Raw], builtins::gt),
    fixed("ge", &[Raw, Raw], builtins::ge),
    fixed("len", &[Raw], builtins::len),
    open("index", &[Raw], Raw, builtins::index),
    open("slice", &[Raw], Raw, builtins::slice),
    open("call", &[Raw], Raw, builtins::call),
    open("print", &[], Any, builtins::print),
    open("printf", &[Text], Any, builtins::printf),
    open("println", &[], Any, builtins::println),
    open("html", &[], Any, builtins::html),
    open("js", &[], Any, builtins::js),
    open("urlquery", &[], Any, builtins::urlquery),
    // The row.
    fixed("__line__", &[], builtins::line),
    fixed("__timestamp__", &[], times::timestamp),
    // Texts, subject first.
    fixed("ToLower", &[Text], text::lower),
    fixed("ToUpper", &[Text], text::upper),
    fixed("Replace", &[Text, Text, Text, Int], text::replace_counted),
    fixed("Trim", &[Text, Text], text::trim_set),
    fixed("TrimLeft", &[Text, Text], text::trim_left),
    fixed("TrimRight", &[Text, Text], text::trim_right),
    fixed("TrimPrefix", &[Text, Text], text::trim_prefix_of),
    fixed("TrimSuffix", &[Text, Text], text::trim_suffix_of),
    fixed("TrimSpace", &[Text], text::trim_space),
    // Texts, subject last.
    fixed("lower", &[Text], text::lower),
    fixed("upper", &[Text], text::upper),
    fixed("title", &[Text], text::title),
    fixed("trim", &[Text], text::trim_space),
    fixed("trimAll", &[Text, Text], text::trim_all),
    fixed("trimPrefix", &[Text, Text], text::trim_prefix),
    fixed("trimSuffix", &[Text, Text], text::trim_suffix),
    fixed("trunc", &[Int, Text], text::trunc),
    fixed("substr", &[Int, Int, Text], text::substr),
    fixed("alignLeft", &[Int, Text], text::align_left),
    fixed("alignRight", &[Int, Text], text::align_right),
    fixed("replace", &[Text, Text, Text], text::replace),
    fixed("repeat", &[Int, Text], text::repeat),
    fixed("indent", &[Int, Text], text::indent),
    fixed("nindent", &[Int, Text], text::nindent),
    fixed("contains", &[Text, Text], text::contains),
    fixed("hasPrefix", &[Text, Text], text::has_prefix),
    fixed("hasSuffix", &[Text, Text], text::has_suffix),
    fixed("regexReplaceAll", &[Text, Text, Text], text::regex_replace),
    fixed("regexReplaceAllLiteral", &[Text, Text, Text], text::regex_replace_literal),
    fixed("count", &[Text, Text], text::count),
    open("default", &[Any], Any, builtins::default),
    // Encodings.
    fixed("b64enc", &[Text], encoding::base64_encode),
    fixed("b64dec", &[Text], encoding::base64_decode),
    fixed("urlencode", &[Text], encoding::url_encode),
    fixed("urldecode", &[Text], encoding::url_decode),
    fixed("fromJson", &[Text], encoding::from_json),
    // Numbers.
    fixed("int", &[Any], math::int),
    fixed("float64", &[Any], math::float64),
    open("add", &[], Any, math::add),
    fixed("sub", &[Any, Any], math::sub),
    open("mul", &[Any], Any, math::mul),
    fixed("div", &[Any, Any], math::div),
    fixed("mod", &[Any, Any], math::modulo),
    open("max", &[Any], Any, math::max),
    open("min", &[Any], Any, math::min),
    open("addf", &[], Any, math::addf),
    open("subf", &[Any], Any, math::subf),
    open("mulf", &[Any], Any, math::mulf),
    open("divf", &[Any], Any, math::divf),
    open("maxf", &[Any], Any, math::maxf),
    open("minf", &[Any], Any, math::minf),
    fixed("ceil", &[Any], math::ceil),
    fixed("floor", &[Any], math::floor),
    open("round", &[Any, Int], Float, math::round),
    fixed("bytes", &[Text], math::bytes),
    fixed("duration", &[Text], math::duration),
    fixed("duration_seconds", &[Text], math::duration),
    // Times.
    fixed("now", &[], times::now),
    fixed("date", &[Text, Any], times::date),
    fixed("toDate", &[Text, Text], times::to_date),
    fixed("toDateInZone", &[Text, Text, Text], times::to_date_in_zone),
    fixed("unixEpoch", &[Moment], times::unix_epoch),
    fixed("unixEpochMillis", &[Moment], times::unix_epoch_millis),
    fixed("unixEpochNanos", &[Moment], times::unix_epoch_nanos),
    fixed("unixToTime", &[Text], times::unix_to_time),
];

/// Finds a function.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// The names of the functions that templates know, by family.
pub fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|function| function.name)
}

/// Whether a function of this name exists.
pub(super) fn is_known(name: &str) -> bool {
    find(name).is_some()
}

/// Whether the function's first argument is a regular expression.
pub(super) fn takes_pattern(name: &str) -> bool {
    matches!(name, "regexReplaceAll" | "regexReplaceAllLiteral" | "count")
}
