//! From tokens to a tree, with the faults and words of Go's parser.

use model::Pattern;
use model::label::{quote_into, unquote_prefix};

use super::functions;
use super::lex::{Kind, Token, tokens};
use super::tree::{Arg, Branch, Call, Command, Expr, List, Node, Number, Pipe};

/// How deep branches and parentheses may be nested.
const DEPTH_MAX: usize = 100;

/// A parsed template and the templates it defines.
pub(super) type Parsed = (List, Vec<(Box<str>, List)>);

/// Parses a template.
///
/// # Errors
///
/// `template: NAME:LINE: …`, as Go words it.
pub(super) fn parse(name: &str, text: &str) -> Result<Parsed, String> {
    let mut parser = Parser {
        name,
        tokens: tokens(text),
        next: 0,
        line: 1,
        action_line: 0,
        variables: vec!["$".into()],
        range_depth: 0,
        depth: 0,
        defined: Vec::new(),
    };
    let root = parser.root()?;
    Ok((root, parser.defined))
}

struct Parser<'n> {
    name: &'n str,
    tokens: Vec<Token>,
    next: usize,
    /// The line of the token read last.
    line: usize,
    /// Where the current action began; 0 outside.
    action_line: usize,
    variables: Vec<Box<str>>,
    range_depth: usize,
    depth: usize,
    defined: Vec<(Box<str>, List)>,
}

/// What ends a list of nodes.
#[derive(Clone, Copy, PartialEq)]
enum Ending {
    End,
    Else,
}

impl Ending {
    fn as_str(self) -> &'static str {
        match self {
            Self::End => "{{end}}",
            Self::Else => "{{else}}",
        }
    }
}

/// A node, or what ends the list it would be in.
enum Item {
    Node(Node),
    Ending(Ending),
    /// A definition, which leaves no node.
    Nothing,
}

/// A branch's keyword.
#[derive(Clone, Copy, PartialEq)]
enum Keyword {
    If,
    Range,
    With,
}

impl Keyword {
    fn as_str(self) -> &'static str {
        match self {
            Self::If => "if",
            Self::Range => "range",
            Self::With => "with",
        }
    }
}

impl Parser<'_> {
    fn fail<T>(&self, message: impl AsRef<str>) -> Result<T, String> {
        Err(format!("template: {}:{}: {}", self.name, self.line, message.as_ref()))
    }

    fn token(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn peek(&mut self) -> Kind {
        self.line = self.token().line;
        self.token().kind
    }

    fn peek_word(&mut self) -> Kind {
        while self.peek() == Kind::Space {
            self.next += 1;
        }
        self.peek()
    }

    fn advance(&mut self) -> Token {
        let token = self.token().clone();
        self.line = token.line;
        self.next += 1;
        token
    }

    fn advance_word(&mut self) -> Token {
        self.peek_word();
        self.advance()
    }

    fn is_keyword(&mut self, word: &str) -> bool {
        self.peek() == Kind::Keyword && self.token().text == word
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Result<T, String> {
        if token.kind == Kind::Error {
            let mut message = token.text.clone();
            if self.action_line != 0 && self.action_line != token.line {
                let place = format!(" in action started at {}:{}", self.name, self.action_line);
                let skipped = if message.ends_with(" action") { " in action".len() } else { 0 };
                message.push_str(&place[skipped..]);
            }
            return self.fail(message);
        }
        self.fail(format!("unexpected {} in {context}", describe(token)))
    }

    fn enter(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { self.fail("template is nested too deeply") } else { Ok(()) }
    }

    fn root(&mut self) -> Result<List, String> {
        let mut list = List::default();
        while self.peek() != Kind::End {
            match self.text_or_action()? {
                Item::Node(node) => list.nodes.push(node),
                Item::Nothing => {}
                Item::Ending(ending) => {
                    return self.fail(format!("unexpected {}", ending.as_str()));
                }
            }
        }
        Ok(list)
    }

    fn list(&mut self) -> Result<(List, Ending), String> {
        self.enter()?;
        let mut list = List::default();
        while self.peek_word() != Kind::End {
            match self.text_or_action()? {
                Item::Node(node) => list.nodes.push(node),
                Item::Nothing => {}
                Item::Ending(ending) => {
                    self.depth -= 1;
                    return Ok((list, ending));
                }
            }
        }
        self.fail("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Result<Item, String> {
        let token = self.advance_word();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text(token.text.into()))),
            Kind::LeftDelimiter => {
                self.action_line = token.line;
                let item = self.action();
                self.action_line = 0;
                item
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Result<Item, String> {
        if self.peek_word() != Kind::Keyword || matches!(&*self.token().text, "nil" | ".") {
            return Ok(Item::Node(Node::Action(self.pipeline("command", Kind::RightDelimiter)?)));
        }
        let token = self.advance();
        let node = match &*token.text {
            "if" => Node::If(self.branch(Keyword::If)?),
            "range" => Node::Range(self.branch(Keyword::Range)?),
            "with" => Node::With(self.branch(Keyword::With)?),
            "break" => self.loop_control("{{break}}", Node::Break)?,
            "continue" => self.loop_control("{{continue}}", Node::Continue)?,
            "template" => Node::Call(self.call(token.at)?),
            "block" => Node::Call(self.block(token.at)?),
            "define" => {
                self.define()?;
                return Ok(Item::Nothing);
            }
            "end" => {
                self.expect_close("end")?;
                return Ok(Item::Ending(Ending::End));
            }
            _ => {
                self.peek_word();
                if !self.is_keyword("if") && !self.is_keyword("with") {
                    self.expect_close("else")?;
                }
                return Ok(Item::Ending(Ending::Else));
            }
        };
        Ok(Item::Node(node))
    }

    fn expect_close(&mut self, context: &str) -> Result<(), String> {
        let token = self.advance_word();
        match token.kind {
            Kind::RightDelimiter => Ok(()),
            _ => self.unexpected(&token, context),
        }
    }

    fn loop_control(&mut self, name: &str, node: Node) -> Result<Node, String> {
        self.expect_close(name)?;
        if self.range_depth == 0 {
            return self.fail(format!("{name} outside {{{{range}}}}"));
        }
        Ok(node)
    }

    fn branch(&mut self, keyword: Keyword) -> Result<Branch, String> {
        let known = self.variables.len();
        let pipe = self.pipeline(keyword.as_str(), Kind::RightDelimiter)?;
        let is_range = keyword == Keyword::Range;
        self.range_depth += usize::from(is_range);
        let (body, ending) = self.list()?;
        self.range_depth -= usize::from(is_range);
        let other = match ending {
            Ending::End => None,
            Ending::Else => Some(self.other_list(keyword)?),
        };
        self.variables.truncate(known);
        Ok(Branch { pipe, body, other })
    }

    /// The list after `else`; `else if` continues an `if` with the same end.
    fn other_list(&mut self, keyword: Keyword) -> Result<List, String> {
        if keyword != Keyword::Range && self.is_keyword(keyword.as_str()) {
            self.advance();
            self.enter()?;
            let branch = self.branch(keyword)?;
            self.depth -= 1;
            let node = if keyword == Keyword::If { Node::If(branch) } else { Node::With(branch) };
            return Ok(List { nodes: vec![node] });
        }
        match self.list()? {
            (list, Ending::End) => Ok(list),
            (_, ending) => self.fail(format!("expected end; found {}", ending.as_str())),
        }
    }

    fn template_name(&mut self, context: &str) -> Result<Box<str>, String> {
        let token = self.advance_word();
        match token.kind {
            Kind::Quoted | Kind::RawText => {
                let bytes = self.unquote(&token)?;
                Ok(String::from_utf8_lossy(&bytes).into())
            }
            _ => self.unexpected(&token, context),
        }
    }

    fn call(&mut self, at: usize) -> Result<Call, String> {
        let context = "template clause";
        let name = self.template_name(context)?;
        let pipe = if self.peek_word() == Kind::RightDelimiter {
            self.advance();
            None
        } else {
            Some(self.pipeline(context, Kind::RightDelimiter)?)
        };
        Ok(Call { at, name, pipe })
    }

    fn block(&mut self, at: usize) -> Result<Call, String> {
        let context = "block clause";
        let name = self.template_name(context)?;
        let pipe = self.pipeline(context, Kind::RightDelimiter)?;
        self.body_of(&name, context)?;
        Ok(Call { at, name, pipe: Some(pipe) })
    }

    fn define(&mut self) -> Result<(), String> {
        let context = "define clause";
        let name = self.template_name(context)?;
        self.expect_close(context)?;
        self.body_of(&name, context)
    }

    /// Reads the body of a definition, which sees no variables from outside.
    fn body_of(&mut self, name: &str, context: &str) -> Result<(), String> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let outer_depth = std::mem::take(&mut self.range_depth);
        let (list, ending) = self.list()?;
        if ending != Ending::End {
            return self.fail(format!("unexpected {} in {context}", ending.as_str()));
        }
        (self.variables, self.range_depth) = (outer, outer_depth);
        if self.defined.iter().any(|(known, _)| **known == *name) {
            return Err(format!("template: multiple definition of template {name:?}"));
        }
        self.defined.push((name.into(), list));
        Ok(())
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipe, String> {
        self.peek_word();
        let at = self.token().at;
        let mut pipe = Pipe { at, variables: Vec::new(), is_assign: false, commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let kind = self.peek_word();
            let starts_operand = match kind {
                Kind::Keyword => matches!(&*self.token().text, "nil" | "."),
                kind => matches!(
                    kind,
                    Kind::Bool
                        | Kind::CharConstant
                        | Kind::Dot
                        | Kind::Field
                        | Kind::Identifier
                        | Kind::Number
                        | Kind::RawText
                        | Kind::Quoted
                        | Kind::Variable
                        | Kind::LeftParen
                ),
            };
            if kind == end {
                self.advance();
                self.check_pipeline(&pipe, context)?;
                return Ok(pipe);
            }
            if !starts_operand {
                let token = self.advance();
                return self.unexpected(&token, context);
            }
            pipe.commands.push(self.command()?);
        }
    }

    fn check_pipeline(&self, pipe: &Pipe, context: &str) -> Result<(), String> {
        if pipe.commands.is_empty() {
            return self.fail(format!("missing value for {context}"));
        }
        for (at, command) in pipe.commands.iter().enumerate().skip(1) {
            let first = command.args.first().map(|arg| &arg.expr);
            if let Some(
                Expr::Bool(_) | Expr::Dot | Expr::Nil | Expr::Number(_) | Expr::Text { .. },
            ) = first
            {
                let stage = at + 1;
                return self.fail(format!("non executable command in pipeline stage {stage}"));
            }
        }
        Ok(())
    }

    /// Reads `$x :=`, `$x =` and, for ranges, `$i, $x :=`.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<(), String> {
        while self.peek_word() == Kind::Variable {
            let start = self.next;
            let variable: Box<str> = self.advance().text.into();
            let kind = self.peek_word();
            let is_comma = kind == Kind::Char && self.token().text == ",";
            if !is_comma && !matches!(kind, Kind::Assign | Kind::Declare) {
                self.next = start;
                self.peek();
                return Ok(());
            }
            self.advance();
            pipe.variables.push(variable.clone());
            self.variables.push(variable);
            if !is_comma {
                pipe.is_assign = kind == Kind::Assign;
                return Ok(());
            }
            if context != "range" || pipe.variables.len() >= 2 {
                return self.fail(format!("too many declarations in {context}"));
            }
            let next = self.peek_word();
            if !matches!(next, Kind::Variable | Kind::RightDelimiter | Kind::RightParen) {
                return self.fail("range can only initialize variables");
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Result<Command, String> {
        self.peek_word();
        let mut command = Command { args: Vec::new(), at: self.token().at, pattern: None };
        loop {
            self.peek_word();
            command.args.extend(self.operand()?);
            match self.peek() {
                Kind::Space => {
                    self.advance();
                }
                Kind::RightDelimiter | Kind::RightParen => break,
                Kind::Pipe => {
                    self.advance();
                    break;
                }
                _ => {
                    let token = self.advance();
                    return self.unexpected(&token, "operand");
                }
            }
        }
        if command.args.is_empty() {
            return self.fail("empty command");
        }
        command.pattern = literal_pattern(&command.args);
        Ok(command)
    }

    /// A value with the fields taken from it.
    fn operand(&mut self) -> Result<Option<Arg>, String> {
        let Some(arg) = self.term()? else { return Ok(None) };
        if self.peek() != Kind::Field {
            return Ok(Some(arg));
        }
        let at = self.token().at;
        let mut fields: Vec<Box<str>> = Vec::new();
        while self.peek() == Kind::Field {
            fields.push(self.advance().text[1..].into());
        }
        let expr = match arg.expr {
            Expr::Field(names) => Expr::Field([names, fields].concat()),
            Expr::Variable(names) => Expr::Variable([names, fields].concat()),
            Expr::Bool(_) | Expr::Text { .. } | Expr::Number(_) | Expr::Nil | Expr::Dot => {
                let mut shown = String::new();
                quote_into(&arg.to_string(), &mut shown);
                return self.fail(format!("unexpected . after term {shown}"));
            }
            _ => Expr::Chain(Box::new(arg), fields),
        };
        Ok(Some(Arg { expr, at }))
    }

    fn term(&mut self) -> Result<Option<Arg>, String> {
        let kind = self.peek_word();
        let at = self.token().at;
        let text = self.token().text.clone();
        let expr = match kind {
            Kind::Identifier if !functions::is_known(&text) => {
                let mut shown = String::new();
                quote_into(&text, &mut shown);
                return self.fail(format!("function {shown} not defined"));
            }
            Kind::Identifier => Expr::Function(text.into()),
            Kind::Dot => Expr::Dot,
            Kind::Keyword if text == "nil" => Expr::Nil,
            Kind::Variable if !self.variables.iter().any(|known| **known == *text) => {
                let mut shown = String::new();
                quote_into(&text, &mut shown);
                return self.fail(format!("undefined variable {shown}"));
            }
            Kind::Variable => Expr::Variable(vec![text.into()]),
            Kind::Field => Expr::Field(vec![text[1..].into()]),
            Kind::Bool => Expr::Bool(text == "true"),
            Kind::Number | Kind::CharConstant => match number(&text, kind) {
                Ok(number) => Expr::Number(number),
                Err(message) => return self.fail(message),
            },
            Kind::LeftParen => {
                self.advance();
                self.enter()?;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.depth -= 1;
                return Ok(Some(Arg { expr: Expr::Pipe(Box::new(pipe)), at }));
            }
            Kind::Quoted | Kind::RawText => {
                let token = self.token().clone();
                let text = self.unquote(&token)?;
                Expr::Text { quoted: token.text.into(), text: text.into() }
            }
            _ => return Ok(None),
        };
        self.advance();
        Ok(Some(Arg { expr, at }))
    }

    /// The bytes of a string literal.
    fn unquote(&self, token: &Token) -> Result<Vec<u8>, String> {
        if token.kind == Kind::RawText {
            let body = &token.text[1..token.text.len() - 1];
            return Ok(body.replace('\r', "").into_bytes());
        }
        unquote_bytes(&token.text).map_or_else(|| self.fail("invalid syntax"), Ok)
    }
}

/// How a token is named in errors.
fn describe(token: &Token) -> String {
    let quoted = |text: &str| {
        let mut out = String::new();
        quote_into(text, &mut out);
        out
    };
    match token.kind {
        Kind::End => "EOF".into(),
        Kind::Keyword => format!("<{}>", token.text),
        _ if token.text.len() > 10 => {
            format!("{}...", quoted(&token.text.chars().take(10).collect::<String>()))
        }
        _ => quoted(&token.text),
    }
}

/// The meaning of a double-quoted literal; bytes may be any.
fn unquote_bytes(literal: &str) -> Option<Vec<u8>> {
    let body = literal.get(1..literal.len().checked_sub(1)?)?;
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at..];
        let kind = *rest.as_bytes().get(1)?;
        let (radix, digits) = match kind {
            b'x' => (16, rest.get(2..4)?),
            b'0'..=b'7' => (8, rest.get(1..4)?),
            b'u' => (16, rest.get(2..6)?),
            b'U' => (16, rest.get(2..10)?),
            b'\'' => return None,
            _ => {
                // The plain escapes are those of label values.
                let escape = rest.get(..2)?;
                let (plain, _) = unquote_prefix(&format!("\"{escape}\"")).ok()?;
                out.extend_from_slice(plain.as_bytes());
                rest = &rest[2..];
                continue;
            }
        };
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let code = u32::from_str_radix(digits, radix).ok()?;
        if matches!(kind, b'u' | b'U') {
            let c = char::from_u32(code)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[2 + digits.len()..];
        } else {
            out.push(u8::try_from(code).ok()?);
            rest = &rest[4..];
        }
    }
    out.extend_from_slice(rest.as_bytes());
    Some(out)
}

/// The meanings of a number.
fn number(text: &str, kind: Kind) -> Result<Number, String> {
    let mut number =
        Number { text: text.into(), int: None, float: None, imaginary: None, is_float: false };
    if kind == Kind::CharConstant {
        let body = text[1..text.len() - 1].replace("\\'", "'").replace('"', "\\\"");
        let malformed = || format!("malformed character constant: {text}");
        let bytes = unquote_bytes(&format!("\"{body}\"")).ok_or_else(malformed)?;
        let decoded = String::from_utf8(bytes).map_err(|_| malformed())?;
        let mut chars = decoded.chars();
        let (Some(c), None) = (chars.next(), chars.next()) else { return Err(malformed()) };
        let code = i64::from(u32::from(c));
        number.int = Some(code);
        number.float = Some(code as f64);
        return Ok(number);
    }
    if let Some(imaginary) = text.strip_suffix('i') {
        let parsed = crate::pipeline::number::parse_float(imaginary);
        number.imaginary = Some(parsed.map_err(|_| illegal(text))?);
        return Ok(number);
    }
    number.int = super::math::parse_int(text.as_bytes()).ok();
    number.float = match number.int {
        Some(int) => Some(int as f64),
        None => Some(crate::pipeline::number::parse_float(text).map_err(|_| illegal(text))?),
    };
    let is_hexadecimal = text.contains(['x', 'X']) && !text.contains(['p', 'P']);
    number.is_float = !is_hexadecimal && text.contains(['.', 'e', 'E', 'p', 'P']);
    match number.float {
        Some(float) if number.int.is_none() && !number.is_float => {
            let mut message = String::from("integer overflow: ");
            quote_into(text, &mut message);
            debug_assert!(float.is_finite(), "a number without exponent is finite");
            Err(message)
        }
        Some(float) if number.int.is_none() && (float as i64) as f64 == float => {
            number.int = Some(float as i64);
            Ok(number)
        }
        _ => Ok(number),
    }
}

fn illegal(text: &str) -> String {
    let mut message = String::from("illegal number syntax: ");
    quote_into(text, &mut message);
    message
}

/// The compiled first argument of a function that takes a regular expression.
fn literal_pattern(args: &[Arg]) -> Option<Pattern> {
    match args {
        [Arg { expr: Expr::Function(name), .. }, Arg { expr: Expr::Text { text, .. }, .. }, ..]
            if functions::takes_pattern(name) =>
        {
            Pattern::search(std::str::from_utf8(text).ok()?).ok()
        }
        _ => None,
    }
}
