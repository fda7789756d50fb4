//! log4j's `PatternLayout`, as far as TorchServe's own patterns and their usual variations go. PURE.
//!
//! | conversion | here |
//! |---|---|
//! | `%d`, `%date`, with `{ISO8601}`, `{DEFAULT}`, `{ABSOLUTE}`, `{COMPACT}`, `{UNIX}` or a pattern of `yMdHmsS` | the time in UTC |
//! | `%p`, `%level` | the level |
//! | `%t`, `%thread` | the thread |
//! | `%c`, `%logger` | the logger: TorchServe's names, or the place in the program |
//! | `%m`, `%msg`, `%message` | the message |
//! | `%n`, `%%` | end of the line, a percent sign |
//!
//! Widths (`%-5p`, `%.20c`) are kept. Any other conversion is left out, and named when the pattern is
//! read. A line always ends with a line end, and has no other.

use std::fmt::Write;

use time::OffsetDateTime;

/// A pattern that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field, Width),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Date(Vec<DatePiece>),
    Level,
    Thread,
    Logger,
    Message,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Width {
    left: bool,
    min: usize,
    max: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum DatePiece {
    Text(String),
    Year,
    MonthNumber,
    MonthName,
    Day,
    Hour,
    Minute,
    Second,
    Millis,
    Unix,
}

/// What a line says.
pub struct Line<'a> {
    /// When.
    pub time: OffsetDateTime,
    /// `INFO`.
    pub level: &'a str,
    /// The thread that says it.
    pub thread: &'a str,
    /// Who says it.
    pub logger: &'a str,
    /// What is said.
    pub message: &'a str,
}

/// Widest field; a pattern is an operator's, but a typing error must not fill the disk.
const MAX_WIDTH: usize = 200;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// What log4j calls its named formats.
const DATES: [(&str, &str); 6] = [
    ("ISO8601", "yyyy-MM-dd'T'HH:mm:ss,SSS"),
    ("ISO8601_BASIC", "yyyyMMdd'T'HHmmss,SSS"),
    ("DEFAULT", "yyyy-MM-dd HH:mm:ss,SSS"),
    ("ABSOLUTE", "HH:mm:ss,SSS"),
    ("DATE", "dd MMM yyyy HH:mm:ss,SSS"),
    ("COMPACT", "yyyyMMddHHmmssSSS"),
];

// === impl Pattern ===

impl Pattern {
    /// Reads a pattern; what of it is left out is added to `left_out`.
    pub fn parse(text: &str, left_out: &mut Vec<String>) -> Pattern {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            literal.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('%') {
                literal.push('%');
                rest = after;
                continue;
            }
            let (width, after) = Width::parse(rest);
            let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (name, known) = longest_known(&after[..letters]);
            let (options, after) = options(&after[name.len()..]);
            rest = after;
            let field = match known {
                Some(Known::End) => continue,
                Some(Known::Date) => {
                    Field::Date(date(options.first().copied().unwrap_or("DEFAULT"), left_out))
                }
                Some(Known::Field(field)) => field,
                None => {
                    left_out.push(format!("%{name}"));
                    continue;
                }
            };
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Field(field, width));
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Pattern(pieces)
    }

    /// The line and its end.
    pub fn render(&self, line: &Line<'_>) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field(field, width) => {
                    let start = out.len();
                    match field {
                        Field::Date(pieces) => write_date(&mut out, pieces, line.time),
                        Field::Level => out.push_str(line.level),
                        Field::Thread => out.push_str(line.thread),
                        Field::Logger => out.push_str(line.logger),
                        Field::Message => out.push_str(line.message),
                    }
                    width.apply(&mut out, start);
                }
            }
        }
        // One event, one line: what a client sent cannot look like another event.
        if out.contains(|c: char| c.is_control() && c != '\t') {
            let escape = |c: char| match c {
                '\t' => "\t".to_owned(),
                c if c.is_control() => c.escape_default().to_string(),
                c => c.to_string(),
            };
            out = out.chars().map(escape).collect();
        }
        out.push('\n');
        out
    }
}

enum Known {
    Date,
    Field(Field),
    End,
}

/// The longest conversion that a run of letters begins with; the whole run where there is none.
fn longest_known(letters: &str) -> (&str, Option<Known>) {
    for length in (1..=letters.len()).rev() {
        let known = match &letters[..length] {
            "d" | "date" => Known::Date,
            "p" | "level" => Known::Field(Field::Level),
            "t" | "tn" | "thread" | "threadName" => Known::Field(Field::Thread),
            "c" | "logger" => Known::Field(Field::Logger),
            "m" | "msg" | "message" => Known::Field(Field::Message),
            "n" => Known::End,
            _ => continue,
        };
        return (&letters[..length], Some(known));
    }
    (letters, None)
}

/// The texts in the braces behind a conversion.
fn options(mut rest: &str) -> (Vec<&str>, &str) {
    let mut options = Vec::new();
    while let Some(inner) = rest.strip_prefix('{')
        && let Some(end) = inner.find('}')
    {
        options.push(&inner[..end]);
        rest = &inner[end + 1..];
    }
    (options, rest)
}

// === impl Width ===

impl Width {
    fn parse(text: &str) -> (Width, &str) {
        let mut rest = text;
        let mut width = Width::default();
        if let Some(after) = rest.strip_prefix('-') {
            (width.left, rest) = (true, after);
        }
        let number = |rest: &mut &str| {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number = rest[..digits].parse::<usize>().ok();
            *rest = &rest[digits..];
            number.map(|number| number.min(MAX_WIDTH))
        };
        width.min = number(&mut rest).unwrap_or(0);
        if let Some(after) = rest.strip_prefix('.') {
            rest = after.strip_prefix('-').unwrap_or(after);
            width.max = number(&mut rest);
        }
        (width, rest)
    }

    /// To what stands in `out` from `start` on. As in log4j, what is too long loses its beginning.
    fn apply(&self, out: &mut String, start: usize) {
        let length = out[start..].chars().count();
        if let Some(max) = self.max.filter(|max| length > *max) {
            let kept: String = out[start..].chars().skip(length - max).collect();
            out.replace_range(start.., &kept);
        }
        let missing = self.min.saturating_sub(length);
        if missing > 0 {
            let blanks = " ".repeat(missing);
            let at = if self.left { out.len() } else { start };
            out.insert_str(at, &blanks);
        }
    }
}

/// A named format, or a pattern of letters.
fn date(option: &str, left_out: &mut Vec<String>) -> Vec<DatePiece> {
    match option {
        "UNIX" => return vec![DatePiece::Unix],
        "UNIX_MILLIS" => return vec![DatePiece::Unix, DatePiece::Millis],
        _ => {}
    }
    let named = DATES.iter().find(|(name, _)| *name == option);
    let pattern = named.map_or(option, |(_, pattern)| pattern);
    let mut pieces = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            let quoted: String = chars.by_ref().take_while(|c| *c != '\'').collect();
            pieces.push(DatePiece::Text(quoted));
            continue;
        }
        let mut count = 1;
        while chars.next_if_eq(&c).is_some() {
            count += 1;
        }
        pieces.push(match c {
            'y' | 'u' => DatePiece::Year,
            'M' if count >= 3 => DatePiece::MonthName,
            'M' => DatePiece::MonthNumber,
            'd' => DatePiece::Day,
            'H' => DatePiece::Hour,
            'm' => DatePiece::Minute,
            's' => DatePiece::Second,
            'S' | 'n' => DatePiece::Millis,
            // The time is in UTC, whatever its zone was to be called.
            'X' | 'Z' | 'z' | 'x' => DatePiece::Text("Z".to_owned()),
            c if c.is_ascii_alphabetic() => {
                left_out.push(format!("{c} in %d{{{option}}}"));
                continue;
            }
            c => DatePiece::Text(c.to_string().repeat(count)),
        });
    }
    pieces
}

fn write_date(out: &mut String, pieces: &[DatePiece], time: OffsetDateTime) {
    for piece in pieces {
        // Writing to a string cannot fail.
        let _written = match piece {
            DatePiece::Text(text) => write!(out, "{text}"),
            DatePiece::Year => write!(out, "{:04}", time.year()),
            DatePiece::MonthNumber => write!(out, "{:02}", u8::from(time.month())),
            DatePiece::MonthName => {
                write!(out, "{}", MONTHS[usize::from(u8::from(time.month()) - 1)])
            }
            DatePiece::Day => write!(out, "{:02}", time.day()),
            DatePiece::Hour => write!(out, "{:02}", time.hour()),
            DatePiece::Minute => write!(out, "{:02}", time.minute()),
            DatePiece::Second => write!(out, "{:02}", time.second()),
            DatePiece::Millis => write!(out, "{:03}", time.millisecond()),
            DatePiece::Unix => write!(out, "{}", time.unix_timestamp()),
        };
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn rendered(pattern: &str) -> (String, Vec<String>) {
        let mut left_out = Vec::new();
        let pattern = Pattern::parse(pattern, &mut left_out);
        let line = Line {
            time: datetime!(2024-05-30 21:31:59.123 UTC),
            level: "INFO",
            thread: "main",
            logger: "torchfront.server",
            message: "Model server started.",
        };
        (pattern.render(&line), left_out)
    }

    #[test]
    fn torchserves_own_patterns_give_its_lines() {
        for (pattern, line) in [
            ("%d{ISO8601} - %m%n", "2024-05-30T21:31:59,123 - Model server started.\n"),
            (
                "%d{ISO8601} [%-5p] %t %c - %m%n",
                "2024-05-30T21:31:59,123 [INFO ] main torchfront.server - Model server started.\n",
            ),
        ] {
            assert_eq!(rendered(pattern), (line.to_owned(), vec![]), "{pattern}");
        }
    }

    #[test]
    fn dates_widths_and_literals_are_as_in_log4j() {
        for (pattern, line) in [
            (
                "%d{yyyy/MM/dd HH:mm}|%d|%d{ABSOLUTE}",
                "2024/05/30 21:31|2024-05-30 21:31:59,123|21:31:59,123\n",
            ),
            ("%d{dd MMM 'at' ss.SSSX}", "30 May at 59.123Z\n"),
            ("%d{UNIX}", "1717104719\n"),
            ("%6level|%-6level|%.4logger|100%%", "  INFO|INFO  |rver|100%\n"),
            ("no fields", "no fields\n"),
            ("%mnext", "Model server started.next\n"),
        ] {
            assert_eq!(rendered(pattern), (line.to_owned(), vec![]), "{pattern}");
        }
    }

    #[test]
    fn what_is_not_understood_is_left_out_and_named() {
        let (line, left_out) = rendered("%X{id} %highlight{x}%m%d{EEE dd}%n");
        assert_eq!(line, " Model server started. 30\n");
        assert_eq!(left_out, ["%X", "%highlight", "E in %d{EEE dd}"]);
        assert_eq!(rendered("%").0, "\n");
        assert_eq!(rendered("%-").0, "\n");
    }

    #[test]
    fn an_event_is_one_line_whatever_it_says() {
        let pattern = Pattern::parse("%m%n", &mut Vec::new());
        let time = datetime!(2024-05-30 21:31:59 UTC);
        let message = "a\nERROR b\r\x1b[31m";
        let line = Line { time, level: "INFO", thread: "t", logger: "l", message };
        assert_eq!(pattern.render(&line), "a\\nERROR b\\r\\u{1b}[31m\n");
    }
}
