//! Runs a template over a row.
//!
//! Every fault carries the place and the text of the node that Go would name, so the executor
//! notes the node it is at before it does something that may fail.

use std::fmt::Display;
use std::rc::Rc;

use model::label::quote_into;

use super::format::print;
use super::functions::{self, Call as FunctionCall, Function, Type};
use super::tree::{Arg, Branch, Call, Command, Expr, List, Node, Pipe};
use super::value::Value;
use super::{Data, Template, times};

/// Longest output of one template, in bytes.
const OUTPUT_MAX: usize = 4 << 20;
/// Most commands and loop turns of one execution.
const STEPS_MAX: u32 = 1_000_000;
/// How deep templates may call each other.
const CALLS_MAX: u32 = 100;

/// Appends the template's output for `data`.
///
/// # Errors
///
/// Go's text of the fault.
pub(super) fn execute(
    template: &Template,
    data: &dyn Data,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let limit = out.len() + OUTPUT_MAX;
    let mut exec = Exec {
        template,
        data,
        out,
        limit,
        variables: vec![("$", Value::Labels)],
        place: None,
        name: template.name,
        steps: STEPS_MAX,
        calls: 0,
    };
    match exec.list(&Value::Labels, &template.root) {
        Ok(()) => Ok(()),
        Err(Stop::Fault(fault)) => Err(fault),
        // The parser lets neither stand outside a loop.
        Err(Stop::Break | Stop::Continue) => Ok(()),
    }
}

/// Why the executor left a list early.
enum Stop {
    Fault(String),
    Break,
    Continue,
}

type Done<T> = Result<T, Stop>;

struct Exec<'a, 'o> {
    template: &'a Template,
    data: &'a dyn Data,
    out: &'o mut Vec<u8>,
    limit: usize,
    variables: Vec<(&'a str, Value<'a>)>,
    /// The node at work: where it begins and how it prints.
    place: Option<(usize, &'a dyn Display)>,
    /// The template at work.
    name: &'a str,
    steps: u32,
    calls: u32,
}

impl<'a> Exec<'a, '_> {
    fn at(&mut self, at: usize, node: &'a dyn Display) {
        self.place = Some((at, node));
    }

    fn fail<T>(&self, message: impl AsRef<str>) -> Done<T> {
        let mut name = String::new();
        quote_into(self.name, &mut name);
        let message = message.as_ref();
        let main = self.template.name;
        let text = match self.place {
            None => format!("template: {}: {message}", self.name),
            Some((at, node)) => {
                let before = &self.template.text[..at];
                let line = 1 + before.matches('\n').count();
                let column = before.rfind('\n').map_or(at, |newline| at - newline - 1);
                format!("template: {main}:{line}:{column}: executing {name} at <{node}>: {message}")
            }
        };
        Err(Stop::Fault(text))
    }

    fn step(&mut self) -> Done<()> {
        match self.steps.checked_sub(1) {
            Some(steps) => self.steps = steps,
            None => return self.fail("template runs too long"),
        }
        if self.out.len() > self.limit {
            return self.fail("template output is too long");
        }
        Ok(())
    }

    fn is_true(&self, value: &Value<'_>) -> bool {
        let labels = if matches!(value, Value::Labels) { self.data.labels().len() } else { 0 };
        value.is_true(labels)
    }

    fn list(&mut self, dot: &Value<'a>, list: &'a List) -> Done<()> {
        for node in &list.nodes {
            self.node(dot, node)?;
        }
        Ok(())
    }

    fn node(&mut self, dot: &Value<'a>, node: &'a Node) -> Done<()> {
        match node {
            Node::Text(text) => {
                self.out.extend_from_slice(text.as_bytes());
                Ok(())
            }
            Node::Action(pipe) => {
                let value = self.pipe(dot, pipe)?;
                if pipe.variables.is_empty() {
                    print(&value, self.data, self.out);
                }
                Ok(())
            }
            Node::If(branch) => self.branch(dot, branch, false),
            Node::With(branch) => self.branch(dot, branch, true),
            Node::Range(branch) => self.range(dot, branch),
            Node::Call(call) => self.call(dot, call),
            Node::Break => Err(Stop::Break),
            Node::Continue => Err(Stop::Continue),
        }
    }

    fn branch(&mut self, dot: &Value<'a>, branch: &'a Branch, moves_dot: bool) -> Done<()> {
        let known = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let result = if self.is_true(&value) {
            self.list(if moves_dot { &value } else { dot }, &branch.body)
        } else {
            branch.other.as_ref().map_or(Ok(()), |list| self.list(dot, list))
        };
        self.variables.truncate(known);
        result
    }

    fn range(&mut self, dot: &Value<'a>, branch: &'a Branch) -> Done<()> {
        let known = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let turns: Vec<(Value<'a>, Value<'a>)> = match &value {
            Value::List(values) => values
                .iter()
                .enumerate()
                .map(|(at, v)| (Value::Int(at as i64), v.clone()))
                .collect(),
            Value::Map(members) => members
                .iter()
                .map(|(name, value)| (Value::text(name.as_bytes()), value.clone()))
                .collect(),
            Value::Labels => {
                let labels = self.data.labels().into_iter();
                labels.map(|(name, value)| (Value::text(name), Value::text(value))).collect()
            }
            Value::Int(count) | Value::Int64(count) => {
                if branch.pipe.variables.len() > 1 {
                    return self
                        .fail(format!("can't use {count} to iterate over more than one variable"));
                }
                let count = (*count).clamp(0, i64::from(self.steps) + 1);
                (0..count).map(|at| (Value::Int(at), Value::Int(at))).collect()
            }
            Value::Missing | Value::Nil => Vec::new(),
            other => {
                let mut shown = Vec::new();
                print(other, self.data, &mut shown);
                let shown = String::from_utf8_lossy(&shown).into_owned();
                return self.fail(format!("range can't iterate over {shown}"));
            }
        };
        let result = match (&branch.other, turns.is_empty()) {
            (Some(list), true) => self.list(dot, list),
            _ => self.turns(branch, turns),
        };
        self.variables.truncate(known);
        result
    }

    fn turns(&mut self, branch: &'a Branch, turns: Vec<(Value<'a>, Value<'a>)>) -> Done<()> {
        let known = self.variables.len();
        for (key, value) in turns {
            self.step()?;
            match (branch.pipe.variables.as_slice(), branch.pipe.is_assign) {
                ([], _) => {}
                ([only], true) => self.assign(only, value.clone()),
                ([first, second, ..], true) => {
                    self.assign(first, key);
                    self.assign(second, value.clone());
                }
                // The pipeline pushed the variables; the last one is the element.
                ([_], false) => self.variables[known - 1].1 = value.clone(),
                (_, false) => {
                    self.variables[known - 1].1 = value.clone();
                    self.variables[known - 2].1 = key;
                }
            }
            let result = self.list(&value, &branch.body);
            self.variables.truncate(known);
            match result {
                Err(Stop::Break) => break,
                Ok(()) | Err(Stop::Continue) => {}
                fault => return fault,
            }
        }
        Ok(())
    }

    fn call(&mut self, dot: &Value<'a>, call: &'a Call) -> Done<()> {
        self.at(call.at, call);
        let template = self.template;
        let found = template.defined.iter().find(|(name, _)| *name == call.name);
        let Some((name, list)) = found else {
            let mut name = String::new();
            quote_into(&call.name, &mut name);
            return self.fail(format!("template {name} not defined"));
        };
        if self.calls == CALLS_MAX {
            return self.fail(format!("exceeded maximum template depth ({CALLS_MAX})"));
        }
        let dot = match &call.pipe {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Value::Missing,
        };
        let variables = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        let outer = std::mem::replace(&mut self.name, name);
        self.calls += 1;
        let result = self.list(&dot, list);
        self.calls -= 1;
        (self.variables, self.name) = (variables, outer);
        result
    }

    fn assign(&mut self, name: &str, value: Value<'a>) {
        if let Some(variable) = self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            variable.1 = value;
        }
    }

    fn pipe(&mut self, dot: &Value<'a>, pipe: &'a Pipe) -> Done<Value<'a>> {
        self.at(pipe.at, pipe);
        let mut value = None;
        for command in &pipe.commands {
            let result = self.command(dot, command, value.take())?;
            // What an interface holds is what goes on; an empty one is no value.
            value = Some(if matches!(result, Value::Nil) { Value::Missing } else { result });
        }
        let value = value.unwrap_or(Value::Missing);
        for name in &pipe.variables {
            if pipe.is_assign {
                self.assign(name, value.clone());
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    fn command(
        &mut self,
        dot: &Value<'a>,
        command: &'a Command,
        last: Option<Value<'a>>,
    ) -> Done<Value<'a>> {
        self.step()?;
        let Some((first, args)) = command.args.split_first() else {
            return Ok(Value::Missing);
        };
        match &first.expr {
            Expr::Field(names) => {
                self.at(first.at, first);
                return self.fields(dot, dot.clone(), names, (args, last));
            }
            Expr::Chain(inner, names) => {
                let receiver = self.chained(dot, first, inner)?;
                return self.fields(dot, receiver, names, (args, last));
            }
            Expr::Function(name) => {
                self.at(first.at, first);
                return self.function(dot, name, Some(command), (args, last));
            }
            Expr::Pipe(pipe) => {
                self.not_a_function(first, args, &last)?;
                return self.pipe(dot, pipe);
            }
            Expr::Variable(names) => {
                self.at(first.at, first);
                let value = self.variable(&names[0]);
                if names.len() == 1 {
                    self.not_a_function(first, args, &last)?;
                    return Ok(value);
                }
                return self.fields(dot, value, &names[1..], (args, last));
            }
            _ => {}
        }
        self.at(first.at, first);
        self.not_a_function(first, args, &last)?;
        self.constant(dot, first)
    }

    /// A value that needs no evaluation.
    fn constant(&mut self, dot: &Value<'a>, arg: &'a Arg) -> Done<Value<'a>> {
        match &arg.expr {
            Expr::Bool(value) => Ok(Value::Bool(*value)),
            Expr::Dot => Ok(dot.clone()),
            Expr::Text { text, .. } => Ok(Value::Text((&**text).into())),
            Expr::Number(number) => match (number.imaginary, number.float, number.int) {
                (Some(imaginary), _, _) => Ok(Value::Imaginary(imaginary)),
                (None, Some(float), _) if number.is_float => Ok(Value::Float(float)),
                (None, _, Some(int)) => Ok(Value::Int(int)),
                _ => self.fail(format!("{} overflows int", number.text)),
            },
            _ => self.fail("nil is not a command"),
        }
    }

    fn not_a_function(&self, first: &Arg, args: &[Arg], last: &Option<Value<'a>>) -> Done<()> {
        if args.is_empty() && last.is_none() {
            return Ok(());
        }
        self.fail(format!("can't give argument to non-function {first}"))
    }

    fn variable(&self, name: &str) -> Value<'a> {
        let found = self.variables.iter().rev().find(|(known, _)| *known == name);
        found.map_or(Value::Missing, |(_, value)| value.clone())
    }

    /// The value before the first field of a chain.
    fn chained(&mut self, dot: &Value<'a>, chain: &'a Arg, inner: &'a Arg) -> Done<Value<'a>> {
        self.at(chain.at, chain);
        match &inner.expr {
            Expr::Nil => self.fail(format!("indirection through explicit nil in {chain}")),
            _ => self.arg(dot, inner, Type::Raw),
        }
    }

    fn fields(
        &mut self,
        dot: &Value<'a>,
        receiver: Value<'a>,
        names: &'a [Box<str>],
        (args, last): (&'a [Arg], Option<Value<'a>>),
    ) -> Done<Value<'a>> {
        let Some((name, outer)) = names.split_last() else { return Ok(receiver) };
        let mut value = receiver;
        for name in outer {
            value = self.field(dot, value, name, (&[], None))?;
        }
        self.field(dot, value, name, (args, last))
    }

    fn field(
        &mut self,
        dot: &Value<'a>,
        receiver: Value<'a>,
        name: &'a str,
        (args, last): (&'a [Arg], Option<Value<'a>>),
    ) -> Done<Value<'a>> {
        if let Some(method) = times::method(&receiver, name) {
            let place = self.place;
            let values = self.arguments(dot, name, (method.params, None), (args, last))?;
            self.place = place;
            return Ok((method.call)(&receiver, &values));
        }
        let has_args = !args.is_empty() || last.is_some();
        match &receiver {
            Value::Labels | Value::Map(_) if has_args => {
                self.fail(format!("{name} is not a method but has arguments"))
            }
            Value::Labels => {
                let data = self.data;
                Ok(Value::Text(data.label(name).unwrap_or_default().into()))
            }
            Value::Map(members) => {
                Ok(Value::member(members, name.as_bytes()).unwrap_or(Value::Nil))
            }
            // A field of nothing is nothing.
            Value::Missing => Ok(Value::Missing),
            Value::Nil => self.fail(format!("nil pointer evaluating interface {{}}.{name}")),
            other => {
                self.fail(format!("can't evaluate field {name} in type {}", other.type_name()))
            }
        }
    }

    /// Calls a function. `command` is what a fault of the function names.
    fn function(
        &mut self,
        dot: &Value<'a>,
        name: &'a str,
        command: Option<&'a Command>,
        (args, last): (&'a [Arg], Option<Value<'a>>),
    ) -> Done<Value<'a>> {
        let Some(function) = functions::find(name) else {
            return self.fail(format!("{name:?} is not a defined function"));
        };
        let place = self.place;
        if matches!(name, "and" | "or") {
            return self.logic(dot, function, (args, last));
        }
        let callee = (name == "call").then(|| callee(args, last.as_ref()));
        let values = self.arguments(dot, name, (function.params, function.rest), (args, last))?;
        let call = FunctionCall {
            args: &values,
            data: self.data,
            pattern: command.and_then(|command| command.pattern.as_ref()),
        };
        (function.call)(&call).or_else(|fault| {
            match command {
                Some(command) => self.at(command.at, command),
                None => self.place = place,
            }
            let fault = match callee {
                Some(callee) => {
                    fault.replacen("non-function", &format!("non-function {callee}"), 1)
                }
                None => fault,
            };
            self.fail(format!("error calling {name}: {fault}"))
        })
    }

    /// `and` and `or` stop at the argument that decides.
    fn logic(
        &mut self,
        dot: &Value<'a>,
        function: &Function,
        (args, last): (&'a [Arg], Option<Value<'a>>),
    ) -> Done<Value<'a>> {
        if args.is_empty() && last.is_none() {
            let name = function.name;
            return self.fail(format!("wrong number of args for {name}: want at least 1 got 0"));
        }
        let mut value = Value::Missing;
        for arg in args {
            value = self.arg(dot, arg, Type::Raw)?;
            if self.is_true(&value) == (function.name == "or") {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    /// Evaluates arguments and checks them against parameters.
    fn arguments(
        &mut self,
        dot: &Value<'a>,
        name: &str,
        (params, rest): (&'static [Type], Option<Type>),
        (args, last): (&'a [Arg], Option<Value<'a>>),
    ) -> Done<Rc<[Value<'a>]>> {
        let count = args.len() + usize::from(last.is_some());
        let wanted = params.len();
        if rest.is_some() && count < wanted {
            let got = args.len();
            return self.fail(format!(
                "wrong number of args for {name}: want at least {wanted} got {got}"
            ));
        }
        if rest.is_none() && count != wanted {
            let got = args.len();
            return self.fail(format!("wrong number of args for {name}: want {wanted} got {got}"));
        }
        let type_at = |at: usize| params.get(at).copied().or(rest).unwrap_or(Type::Raw);
        let mut values = Vec::with_capacity(count);
        for (at, arg) in args.iter().enumerate() {
            values.push(self.arg(dot, arg, type_at(at))?);
        }
        if let Some(last) = last {
            values.push(self.checked(last, type_at(args.len()))?);
        }
        Ok(values.into())
    }

    /// Evaluates an argument of a type.
    fn arg(&mut self, dot: &Value<'a>, arg: &'a Arg, wanted: Type) -> Done<Value<'a>> {
        self.at(arg.at, arg);
        let value = match &arg.expr {
            Expr::Nil if matches!(wanted, Type::Any) => return Ok(Value::Nil),
            Expr::Nil if wanted == Type::Raw => return Ok(Value::Missing),
            Expr::Nil => return self.fail(format!("cannot assign nil to {}", wanted.name())),
            Expr::Dot => dot.clone(),
            Expr::Field(names) => self.fields(dot, dot.clone(), names, (&[], None))?,
            Expr::Variable(names) => {
                let value = self.variable(&names[0]);
                self.fields(dot, value, &names[1..], (&[], None))?
            }
            Expr::Pipe(pipe) => self.pipe(dot, pipe)?,
            Expr::Function(name) => self.function(dot, name, None, (&[], None))?,
            Expr::Chain(inner, names) => {
                let receiver = self.chained(dot, arg, inner)?;
                self.fields(dot, receiver, names, (&[], None))?
            }
            Expr::Bool(_) | Expr::Number(_) | Expr::Text { .. } => {
                return self.literal(dot, arg, wanted);
            }
        };
        self.checked(value, wanted)
    }

    /// A literal argument: numbers take the type that is wanted.
    fn literal(&mut self, dot: &Value<'a>, arg: &'a Arg, wanted: Type) -> Done<Value<'a>> {
        let expected = match (wanted, &arg.expr) {
            (Type::Any | Type::Raw, _) => return self.constant(dot, arg),
            (Type::Text, Expr::Text { .. }) => return self.constant(dot, arg),
            (Type::Int, Expr::Number(number)) if number.int.is_some() => {
                return Ok(Value::Int(number.int.unwrap_or(0)));
            }
            (Type::Float, Expr::Number(number)) if number.float.is_some() => {
                return Ok(Value::Float(number.float.unwrap_or(0.0)));
            }
            (Type::Text, _) => "string",
            (Type::Int, _) => "integer",
            (Type::Float, _) => "float",
            (Type::Time, _) => {
                return self.fail(format!("can't handle {arg} for arg of type time.Time"));
            }
        };
        self.fail(format!("expected {expected}; found {arg}"))
    }

    /// Checks that a value fits a type.
    fn checked(&self, value: Value<'a>, wanted: Type) -> Done<Value<'a>> {
        match (&value, wanted) {
            (_, Type::Raw) => Ok(value),
            (Value::Missing, Type::Any) => Ok(Value::Nil),
            (Value::Missing, _) => self.fail(format!("invalid value; expected {}", wanted.name())),
            _ if wanted.takes(&value) => Ok(value),
            _ => self.fail(format!(
                "wrong type for value; expected {}; got {}",
                wanted.name(),
                value.type_name()
            )),
        }
    }
}

/// What a fault names that `call` was to call: the argument as written, or the value piped to it.
fn callee(args: &[Arg], last: Option<&Value<'_>>) -> String {
    match (args.first(), last) {
        (Some(arg), _) => arg.to_string(),
        (None, Some(Value::Text(text))) => String::from_utf8_lossy(text).into_owned(),
        (None, Some(other)) => format!("<{} Value>", other.type_name()),
        (None, None) => String::new(),
    }
}
