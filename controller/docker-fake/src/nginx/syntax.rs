//! nginx's configuration syntax: words, `;`, `{`, `}`, comments and quotes, with nginx's own complaints. Pure.

/// `name args… ;` or `name args… { block }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) args: Vec<String>,
    pub(super) block: Option<Vec<Directive>>,
    pub(super) file: String,
    pub(super) line: usize,
}

impl Directive {
    pub(super) fn arg(&self, index: usize) -> &str {
        self.args.get(index).map(String::as_str).unwrap_or_default()
    }

    /// The directives of its block, if it has one.
    pub(super) fn inner(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    End,
    Open,
    Close,
}

/// Reads one file; the error is what nginx says after `nginx: [emerg] `.
pub(super) fn parse(file: &str, text: &str) -> Result<Vec<Directive>, String> {
    let tokens = tokens(file, text)?;
    let mut levels: Vec<(Directive, Vec<Directive>)> = Vec::new();
    let mut current: Vec<Directive> = Vec::new();
    let mut words: Vec<(String, usize)> = Vec::new();
    let mut last_line = 1;
    for (token, line) in tokens {
        last_line = line;
        match token {
            Token::Word(word) => words.push((word, line)),
            Token::End => {
                let directive = directive(file, &mut words)
                    .ok_or_else(|| format!("unexpected \";\" in {file}:{line}"))?;
                current.push(directive);
            }
            Token::Open => {
                let directive = directive(file, &mut words)
                    .ok_or_else(|| format!("unexpected \"{{\" in {file}:{line}"))?;
                levels.push((directive, std::mem::take(&mut current)));
            }
            Token::Close => {
                if !words.is_empty() {
                    return Err(format!("unexpected \"}}\" in {file}:{line}"));
                }
                let (mut opened, outer) = levels
                    .pop()
                    .ok_or_else(|| format!("unexpected \"}}\" in {file}:{line}"))?;
                opened.block = Some(std::mem::replace(&mut current, outer));
                current.push(opened);
            }
        }
    }
    if !words.is_empty() {
        return Err(format!(
            "unexpected end of file, expecting \";\" or \"}}\" in {file}:{last_line}"
        ));
    }
    if !levels.is_empty() {
        return Err(format!(
            "unexpected end of file, expecting \"}}\" in {file}:{last_line}"
        ));
    }
    Ok(current)
}

fn directive(file: &str, words: &mut Vec<(String, usize)>) -> Option<Directive> {
    let mut words = std::mem::take(words).into_iter();
    let (name, line) = words.next()?;
    Some(Directive {
        name,
        args: words.map(|(word, _)| word).collect(),
        block: None,
        file: file.to_owned(),
        line,
    })
}

fn tokens(file: &str, text: &str) -> Result<Vec<(Token, usize)>, String> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => line += 1,
            c if c.is_whitespace() => {}
            '#' => while chars.next_if(|c| *c != '\n').is_some() {},
            ';' => tokens.push((Token::End, line)),
            '{' => tokens.push((Token::Open, line)),
            '}' => tokens.push((Token::Close, line)),
            quote @ ('"' | '\'') => {
                let began = line;
                let mut word = String::new();
                loop {
                    match chars.next() {
                        Some(c) if c == quote => break,
                        Some('\\') => word.extend(chars.next().map(escaped)),
                        Some(c) => {
                            line += usize::from(c == '\n');
                            word.push(c);
                        }
                        None => {
                            return Err(format!(
                                "unexpected end of file, expecting \"{quote}\" in {file}:{began}"
                            ));
                        }
                    }
                }
                tokens.push((Token::Word(word), began));
            }
            c => {
                let mut word = String::from(c);
                // `${name}` is a variable, whose braces are part of the word.
                while let Some(next) = chars.next_if(|next| {
                    !next.is_whitespace() && !matches!(next, ';' | '{') || word.ends_with('$')
                }) {
                    word.push(next);
                }
                tokens.push((Token::Word(word), line));
            }
        }
    }
    Ok(tokens)
}

fn escaped(c: char) -> char {
    match c {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        c => c,
    }
}
