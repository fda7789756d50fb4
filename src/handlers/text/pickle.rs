//! Reads a pickled mapping of words to numbers, and nothing else: no pickle is ever executed. PURE.
//!
//! Called by `vocabulary.rs`. The opcodes are those that Python writes for a `dict`, `OrderedDict`,
//! `Counter` or `defaultdict(int)` of `str` to `int` in protocols 2 to 5 (Python's `pickletools.py`
//! describes them); any other opcode, class or value is an error. Work and memory are bounded by the
//! length of the input: nothing is copied but words, and those are shared.

use std::collections::HashMap;
use std::sync::Arc;

/// What the pickle holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WordNumbers {
    /// In the order of the file; of a repeated word the last counts.
    pub(super) pairs: Vec<(Arc<str>, i64)>,
    /// A `Counter` or `defaultdict(int)`: a word that is not in it is number 0.
    pub(super) zero_without: bool,
}

/// The classes that may be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Dict,
    OrderedDict,
    Counter,
    DefaultDict,
    Int,
}

/// A value on the stack. There is one mapping; where it is meant, it is `Mapping`.
#[derive(Clone, Debug)]
enum Item {
    Word(Arc<str>),
    Number(i64),
    Class(Class),
    Mapping,
    /// A tuple: of the mapping, of a class, or empty.
    Tuple(Option<Class>, bool),
    Mark,
}

/// Reads one pickle.
struct Reader<'a> {
    rest: &'a [u8],
    stack: Vec<Item>,
    memo: HashMap<u32, Item>,
    pairs: Vec<(Arc<str>, i64)>,
    /// The mapping was made.
    has_mapping: bool,
    zero_without: bool,
}

/// The mapping in `pickle`.
///
/// # Errors
/// What is in it that is no mapping of words to numbers.
pub(super) fn word_numbers(pickle: &[u8]) -> Result<WordNumbers, String> {
    let mut reader = Reader {
        rest: pickle,
        stack: Vec::new(),
        memo: HashMap::new(),
        pairs: Vec::new(),
        has_mapping: false,
        zero_without: false,
    };
    while reader.step()? {}
    match reader.stack.as_slice() {
        [Item::Mapping] => {
            Ok(WordNumbers { pairs: reader.pairs, zero_without: reader.zero_without })
        }
        _ => Err("it holds something else than one mapping".to_owned()),
    }
}

// === impl Class ===

impl Class {
    fn named(module: &str, name: &str) -> Result<Class, String> {
        match (module, name) {
            ("builtins" | "__builtin__", "dict") => Ok(Class::Dict),
            ("builtins" | "__builtin__", "int") => Ok(Class::Int),
            ("collections", "OrderedDict") => Ok(Class::OrderedDict),
            ("collections", "Counter") => Ok(Class::Counter),
            ("collections", "defaultdict") => Ok(Class::DefaultDict),
            _ => {
                let shown: String = format!("{module}.{name}").chars().take(80).collect();
                Err(format!("it holds a {shown}"))
            }
        }
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// One opcode; false after the last.
    fn step(&mut self) -> Result<bool, String> {
        let [opcode] = *self.bytes(1)? else { return Err(short()) };
        match opcode {
            0x80 => {
                let version = self.bytes(1)?[0];
                if !(2..=5).contains(&version) {
                    return Err(format!("pickle protocol {version} is not read"));
                }
            }
            0x95 => {
                self.bytes(8)?; // FRAME: lengths are checked where something is read.
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.stack.push(Item::Class(Class::named(module, name)?));
            }
            0x93 => {
                let (Some(Item::Word(name)), Some(Item::Word(module))) =
                    (self.stack.pop(), self.stack.pop())
                else {
                    return Err("a class without a name".to_owned());
                };
                self.stack.push(Item::Class(Class::named(&module, &name)?));
            }
            b'X' => self.word(4)?,
            0x8c => self.word(1)?,
            0x8d => self.word(8)?,
            b'K' => self.number(1)?,
            b'M' => self.number(2)?,
            b'J' => {
                let number = i64::from(self.unsigned(4)? as u32 as i32);
                self.stack.push(Item::Number(number));
            }
            0x8a => {
                let size = usize::from(self.bytes(1)?[0]);
                if size > 8 {
                    return Err("a number that does not fit 64 bits".to_owned());
                }
                let bytes = self.bytes(size)?;
                let sign = if bytes.last().is_some_and(|last| *last >= 0x80) { 0xff } else { 0 };
                let mut wide = [sign; 8];
                wide[..size].copy_from_slice(bytes);
                self.stack.push(Item::Number(i64::from_le_bytes(wide)));
            }
            b'q' => self.remember(1)?,
            b'r' => self.remember(4)?,
            0x94 => {
                let place = u32::try_from(self.memo.len()).map_err(|_| short())?;
                let top = self.stack.last().cloned().ok_or_else(short)?;
                self.memo.insert(place, top);
            }
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            b'(' => self.stack.push(Item::Mark),
            b'}' => self.new_mapping()?,
            b')' => self.stack.push(Item::Tuple(None, false)),
            0x85 => {
                let tuple = match self.stack.pop() {
                    Some(Item::Mapping) => Item::Tuple(None, true),
                    Some(Item::Class(class)) => Item::Tuple(Some(class), false),
                    _ => return Err("a tuple of something else than a mapping".to_owned()),
                };
                self.stack.push(tuple);
            }
            b'R' => self.make()?,
            b's' => {
                let items = self.stack.split_off(self.stack.len().saturating_sub(2));
                self.set(items)?;
            }
            b'u' => {
                let mark = self.stack.iter().rposition(|item| matches!(item, Item::Mark));
                let mut items = self.stack.split_off(mark.ok_or_else(short)?);
                items.remove(0);
                self.set(items)?;
            }
            b'.' => return Ok(false),
            other => return Err(format!("it does more than list words (opcode {other:#04x})")),
        }
        Ok(true)
    }

    /// REDUCE: a class is called with a tuple.
    fn make(&mut self) -> Result<(), String> {
        let (arguments, class) = (self.stack.pop(), self.stack.pop());
        let (Some(Item::Tuple(inner, has_mapping)), Some(Item::Class(class))) = (arguments, class)
        else {
            return Err("a call of something else than a class of mappings".to_owned());
        };
        match (class, inner, has_mapping) {
            (Class::Dict | Class::OrderedDict | Class::Counter, None, true) => {
                self.stack.push(Item::Mapping);
            }
            (Class::Dict | Class::OrderedDict | Class::Counter, None, false) => {
                self.new_mapping()?;
            }
            (Class::DefaultDict, Some(Class::Int), false) => self.new_mapping()?,
            _ => return Err("a mapping that is made of something else".to_owned()),
        }
        self.zero_without = matches!(class, Class::Counter | Class::DefaultDict);
        Ok(())
    }

    fn new_mapping(&mut self) -> Result<(), String> {
        if self.has_mapping {
            return Err("it holds more than one mapping".to_owned());
        }
        self.has_mapping = true;
        self.stack.push(Item::Mapping);
        Ok(())
    }

    fn set(&mut self, items: Vec<Item>) -> Result<(), String> {
        if !matches!(self.stack.last(), Some(Item::Mapping)) {
            return Err("words are put into something else than a mapping".to_owned());
        }
        let mut items = items.into_iter();
        while let Some(key) = items.next() {
            match (key, items.next()) {
                (Item::Word(word), Some(Item::Number(number))) => self.pairs.push((word, number)),
                _ => return Err("its keys must be strings and its values whole numbers".to_owned()),
            }
        }
        Ok(())
    }

    fn word(&mut self, length_size: usize) -> Result<(), String> {
        let length = usize::try_from(self.unsigned(length_size)?).map_err(|_| short())?;
        let text = std::str::from_utf8(self.bytes(length)?)
            .map_err(|_| "a word that is not UTF-8".to_owned())?;
        self.stack.push(Item::Word(text.into()));
        Ok(())
    }

    fn number(&mut self, size: usize) -> Result<(), String> {
        let number = self.unsigned(size)?;
        self.stack.push(Item::Number(i64::try_from(number).map_err(|_| short())?));
        Ok(())
    }

    fn remember(&mut self, size: usize) -> Result<(), String> {
        let place = self.place(size)?;
        let top = self.stack.last().cloned().ok_or_else(short)?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, size: usize) -> Result<(), String> {
        let place = self.place(size)?;
        let item = self.memo.get(&place).cloned().ok_or_else(short)?;
        self.stack.push(item);
        Ok(())
    }

    fn place(&mut self, size: usize) -> Result<u32, String> {
        u32::try_from(self.unsigned(size)?).map_err(|_| short())
    }

    fn unsigned(&mut self, size: usize) -> Result<u64, String> {
        let mut wide = [0; 8];
        wide[..size].copy_from_slice(self.bytes(size)?);
        Ok(u64::from_le_bytes(wide))
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let end = memchr::memchr(b'\n', self.rest).ok_or_else(short)?;
        let line = self.bytes(end + 1)?;
        std::str::from_utf8(&line[..end]).map_err(|_| "a name that is not UTF-8".to_owned())
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or_else(short)?;
        self.rest = rest;
        Ok(bytes)
    }
}

fn short() -> String {
    "it is damaged or cut off".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pickle: &[u8]) -> Result<(Vec<(String, i64)>, bool), String> {
        word_numbers(pickle).map(|found| {
            let pairs = found.pairs.iter().map(|(word, number)| (word.to_string(), *number));
            (pairs.collect(), found.zero_without)
        })
    }

    fn pairs(zero_without: bool) -> Result<(Vec<(String, i64)>, bool), String> {
        Ok((vec![("a".into(), 1), ("é".into(), 300), ("b".into(), -2)], zero_without))
    }

    // Python 3.11: `pickle.dumps(cls({"a": 1, "é": 300, "b": -2}), protocol)`.
    #[test]
    fn every_kind_of_mapping_is_read_in_every_protocol() {
        let two = b"X\x01\0\0\0aq\x02K\x01X\x02\0\0\0\xc3\xa9q\x03M\x2c\x01X\x01\0\0\0bq\x04J\xfe\xff\xff\xff";
        let dict = [b"\x80\x02}q\x00(", &two[..], b"u."].concat();
        assert_eq!(read(&dict), pairs(false));
        let counter =
            [b"\x80\x02ccollections\nCounter\nq\x00}q\x01(", &two[..], b"u\x85q\x05Rq\x06."]
                .concat();
        assert_eq!(read(&counter), pairs(true));
        let ordered =
            [b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01(", &two[..], b"u."].concat();
        assert_eq!(read(&ordered), pairs(false));
        let default = [
            b"\x80\x02ccollections\ndefaultdict\nq\x00c__builtin__\nint\nq\x01\x85q\x02Rq\x03(",
            &two[..],
            b"u.",
        ]
        .concat();
        assert_eq!(read(&default), pairs(true));
        let four = b"\x8c\x01a\x94K\x01\x8c\x02\xc3\xa9\x94M\x2c\x01\x8c\x01b\x94J\xfe\xff\xff\xff";
        let framed = [
            b"\x80\x04\x95\x35\0\0\0\0\0\0\0\x8c\x0bcollections\x94\x8c\x07Counter\x94\x93\x94}\x94(",
            &four[..],
            b"u\x85\x94R\x94.",
        ]
        .concat();
        assert_eq!(read(&framed), pairs(true));
        assert_eq!(read(b"\x80\x02}X\x01\0\0\0a\x8a\x06\0\0\0\0\0\x01s."), {
            Ok((vec![("a".into(), 1 << 40)], false))
        });
        assert_eq!(read(b"\x80\x02}."), Ok((vec![], false)));
    }

    #[test]
    fn what_is_no_mapping_of_words_is_refused_and_nothing_is_called() {
        for (pickle, says) in [
            (&b"cos\nsystem\n(X\x02\0\0\0lstR."[..], "it holds a os.system"),
            (b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "it holds a posix.system"),
            (b"\x80\x02ctorchtext.vocab\nVocab\n)\x81.", "it holds a torchtext.vocab.Vocab"),
            (b"\x80\x02}K\x01K\x02s.", "its keys must be strings"),
            (b"\x80\x02}X\x01\0\0\0aX\x01\0\0\0bs.", "its values whole numbers"),
            (b"\x80\x02]q\x00.", "does more than list words"),
            (b"\x80\x02}}.", "more than one mapping"),
            (b"\x80\x02K\x01.", "something else than one mapping"),
            (b"\x80\x02X\xff\xff\xff\xffa.", "damaged"),
            (b"\x80\x02}", "damaged"),
            (b"\x80\x02u.", "damaged"),
            (b"\x80\x02h\x07.", "damaged"),
            (b"\x80\x01.", "protocol 1"),
            (b"", "damaged"),
        ] {
            let error = read(pickle).unwrap_err();
            assert!(error.contains(says), "{pickle:?}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(pickle in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64)) {
            let _ = word_numbers(&pickle);
            let _ = word_numbers(&[b"\x80\x02}(", &pickle[..], b"u."].concat());
        }
    }
}
