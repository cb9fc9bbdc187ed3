//! What may be asked: a request line is read into one of these calls, or refused.
//!
//! A call holds only what was understood. Paths are taken literally: one with a percent sign, an
//! empty part or a dot for a part is refused rather than put right, since two readers could put it
//! right in two ways.

use std::collections::HashSet;

use hyper::{Method, StatusCode, Uri};
use serde_json::Value;

/// Why a request goes no further.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the client gets.
    pub status: StatusCode,
    /// One line.
    pub reason: String,
}

impl Refusal {
    /// It is not to be understood.
    pub fn malformed(reason: impl Into<String>) -> Refusal {
        Refusal {
            status: StatusCode::BAD_REQUEST,
            reason: reason.into(),
        }
    }

    /// It is understood, and nothing that a job needs.
    pub fn forbidden(reason: impl Into<String>) -> Refusal {
        Refusal {
            status: StatusCode::FORBIDDEN,
            reason: reason.into(),
        }
    }
}

/// A call, and the version of the API that it was made in: `/v1.41`, or nothing.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub version: String,
    pub call: Call,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    /// A path that needs nothing and shows nothing of anybody.
    Plain(&'static str),
    /// Whether an image is there.
    Image(String),
    /// The containers of jobs, of those with these labels.
    Jobs { all: bool, labels: Vec<String> },
    /// A new container: the body is checked by [`crate::create`].
    Create,
    /// Something about one container, which must be a job's.
    Job {
        id: String,
        action: &'static Action,
        query: String,
    },
}

/// What may be done with a job's container.
#[derive(Debug, PartialEq, Eq)]
pub struct Action {
    pub method: Method,
    /// The last part of the path; none for the container itself.
    pub name: &'static str,
    query: &'static [(&'static str, Kind)],
}

/// What a parameter may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Flag,
    /// A flag that clients name, and that must not be set.
    Unset,
    Seconds,
    Tail,
    Word(&'static [&'static str]),
}

pub const INSPECT: &str = "json";
pub const ATTACH: &str = "attach";

static ACTIONS: [Action; 8] = [
    Action {
        method: Method::GET,
        name: INSPECT,
        query: &[],
    },
    Action {
        method: Method::POST,
        name: "start",
        query: &[],
    },
    Action {
        method: Method::POST,
        name: ATTACH,
        query: &[
            ("logs", Kind::Flag),
            ("stdin", Kind::Unset),
            ("stdout", Kind::Flag),
            ("stderr", Kind::Flag),
            ("stream", Kind::Flag),
        ],
    },
    Action {
        method: Method::GET,
        name: "logs",
        query: &[
            ("stdout", Kind::Flag),
            ("stderr", Kind::Flag),
            ("timestamps", Kind::Flag),
            ("follow", Kind::Flag),
            ("tail", Kind::Tail),
        ],
    },
    Action {
        method: Method::POST,
        name: "wait",
        query: &[("condition", Kind::Word(&["not-running", "next-exit"]))],
    },
    Action {
        method: Method::POST,
        name: "stop",
        query: &[("t", Kind::Seconds)],
    },
    Action {
        method: Method::POST,
        name: "kill",
        query: &[("signal", Kind::Word(&["SIGTERM", "SIGINT", "SIGKILL"]))],
    },
    Action {
        method: Method::DELETE,
        name: "",
        query: &[
            ("v", Kind::Flag),
            ("link", Kind::Unset),
            ("force", Kind::Flag),
        ],
    },
];

/// Labels that jobs carry begin with this.
pub const LABEL: &str = "com.ecomm-pipeline.";

impl Request {
    /// Reads a request line.
    pub fn read(method: &Method, uri: &Uri) -> Result<Request, Refusal> {
        if uri.scheme().is_some() || uri.authority().is_some() {
            return Err(Refusal::malformed("ask for a path, not for a URL"));
        }
        let (version, path) = split_version(uri.path())?;
        let query = Query::read(uri.query().unwrap_or(""))?;
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let call = match (method, parts.as_slice()) {
            (&Method::GET, ["_ping"]) => query.end(Call::Plain("/_ping")),
            (&Method::GET, ["version"]) => query.end(Call::Plain("/version")),
            (&Method::GET, ["images", "json"]) => read_image(query),
            (&Method::GET, ["containers", "json"]) => read_jobs(query),
            (&Method::POST, ["containers", "create"]) => query.end(Call::Create),
            (method, ["containers", id, rest @ ..]) => read_action(method, id, rest, query),
            _ => Err(no_such_call()),
        }?;
        Ok(Request {
            version: version.to_owned(),
            call,
        })
    }
}

fn no_such_call() -> Refusal {
    Refusal::forbidden("jobs need no such call")
}

/// `/v1.41` and the path behind it. Older versions than 1.24 take settings with other calls.
fn split_version(path: &str) -> Result<(&str, &str), Refusal> {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-');
    if !path.bytes().all(plain) {
        return Err(Refusal::malformed(
            "a path is of letters, digits and . _ - alone",
        ));
    }
    let mut parts = path.split('/').skip(1);
    if parts.any(|part| matches!(part, "" | "." | "..")) {
        return Err(Refusal::malformed("a part of the path is empty or a dot"));
    }
    let Some(numbered) = path.strip_prefix("/v1.") else {
        return Ok(("", path));
    };
    let digits = numbered.split('/').next().unwrap_or("");
    let known = matches!(digits.parse::<u32>(), Ok(24..=999)) && !digits.starts_with('0');
    if !known || digits.starts_with('+') {
        return Err(Refusal::forbidden("no such version of the API"));
    }
    let end = "/v1.".len() + digits.len();
    Ok((&path[..end], &path[end..]))
}

/// The parameters of a request, each once; what is left at the end was not asked for.
struct Query(Vec<(String, String)>);

impl Query {
    fn read(text: &str) -> Result<Query, Refusal> {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(text.as_bytes())
            .into_owned()
            .collect();
        let mut seen = HashSet::new();
        for (name, _) in &pairs {
            // of two, one reader takes the first and another the last
            if !seen.insert(name.to_ascii_lowercase()) {
                return Err(Refusal::malformed(format!(
                    "the parameter {name:?} stands there twice"
                )));
            }
        }
        Ok(Query(pairs))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(found, _)| found == name)?;
        Some(self.0.swap_remove(place).1)
    }

    fn flag(&mut self, name: &str) -> Result<bool, Refusal> {
        match self.take(name).as_deref() {
            None | Some("" | "0" | "false" | "False") => Ok(false),
            Some("1" | "true" | "True") => Ok(true),
            Some(_) => Err(Refusal::malformed(format!("{name} is 0 or 1"))),
        }
    }

    fn filters(&mut self) -> Result<serde_json::Map<String, Value>, Refusal> {
        let text = self.take("filters").unwrap_or_else(|| "{}".to_owned());
        serde_json::from_str(&text)
            .map_err(|_| Refusal::malformed("filters is not an object in JSON"))
    }

    fn end(self, call: Call) -> Result<Call, Refusal> {
        match self.0.first() {
            None => Ok(call),
            Some((name, _)) => Err(Refusal::forbidden(format!(
                "the parameter {name:?} is not for jobs"
            ))),
        }
    }
}

/// The texts of a filter, which clients write as a list, as one text, or as an object of flags.
fn texts(filter: Option<Value>) -> Option<Vec<String>> {
    match filter? {
        Value::String(text) => Some(vec![text]),
        Value::Array(items) => items
            .into_iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

fn read_image(mut query: Query) -> Result<Call, Refusal> {
    query.flag("only_ids")?;
    query.flag("all")?;
    let mut filters = query.filters()?;
    let names = texts(filters.remove("reference")).unwrap_or_default();
    match (names.as_slice(), filters.is_empty()) {
        ([name], true) => query.end(Call::Image(name.clone())),
        _ => Err(Refusal::forbidden(
            "images are asked for by one reference and nothing else",
        )),
    }
}

fn read_jobs(mut query: Query) -> Result<Call, Refusal> {
    let all = query.flag("all")?;
    for unused in ["size", "trunc_cmd"] {
        query.flag(unused)?;
    }
    if !matches!(query.take("limit").as_deref(), None | Some("-1" | "0")) {
        return Err(Refusal::forbidden("limit is not for jobs"));
    }
    let mut filters = query.filters()?;
    let labels = match filters.remove("label") {
        None => Vec::new(),
        some => texts(some).ok_or_else(|| Refusal::malformed("label is a list of texts"))?,
    };
    if !filters.is_empty() || labels.iter().any(|label| !label.starts_with(LABEL)) {
        return Err(Refusal::forbidden(format!(
            "containers are asked for by labels {LABEL}* and nothing else"
        )));
    }
    query.end(Call::Jobs { all, labels })
}

fn read_action(
    method: &Method,
    id: &str,
    rest: &[&str],
    mut query: Query,
) -> Result<Call, Refusal> {
    let name = match rest {
        [] => "",
        [name] if !name.is_empty() => *name,
        _ => return Err(no_such_call()),
    };
    let action = ACTIONS
        .iter()
        .find(|action| action.method == method && action.name == name)
        .ok_or_else(no_such_call)?;
    let mut asked = form_urlencoded::Serializer::new(String::new());
    for (parameter, kind) in action.query {
        if let Some(value) = kind.read(parameter, &mut query)? {
            asked.append_pair(parameter, &value);
        }
    }
    query.end(Call::Job {
        id: id.to_owned(),
        action,
        query: asked.finish(),
    })
}

impl Kind {
    fn read(self, name: &str, query: &mut Query) -> Result<Option<String>, Refusal> {
        if matches!(self, Kind::Flag | Kind::Unset) {
            let set = query.flag(name)?;
            return match (self, set) {
                (Kind::Unset, true) => Err(Refusal::forbidden(format!("{name} is not for jobs"))),
                (_, true) => Ok(Some("1".to_owned())),
                (_, false) => Ok(None),
            };
        }
        let Some(value) = query.take(name) else {
            return Ok(None);
        };
        let number = || {
            !value.is_empty() && value.len() <= 6 && value.bytes().all(|byte| byte.is_ascii_digit())
        };
        let fits = match self {
            Kind::Word(words) => words.contains(&value.as_str()),
            Kind::Tail => value == "all" || number(),
            _ => number(),
        };
        if fits {
            Ok(Some(value))
        } else {
            Err(Refusal::forbidden(format!("{name} may not be {value:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, line: &str) -> Result<Call, u16> {
        let method = method.parse().expect("a method");
        let uri: Uri = line.parse().expect("a URI");
        Request::read(&method, &uri)
            .map(|request| request.call)
            .map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn what_jobs_need_is_read() {
        assert_eq!(read("GET", "/version"), Ok(Call::Plain("/version")));
        assert_eq!(read("POST", "/v1.41/containers/create"), Ok(Call::Create));
        let jobs = Call::Jobs {
            all: true,
            labels: vec!["com.ecomm-pipeline.dag=a b".to_owned()],
        };
        let filters = "filters=%7B%22label%22%3A+%5B%22com.ecomm-pipeline.dag%3Da+b%22%5D%7D";
        let line = format!("/v1.41/containers/json?limit=-1&all=1&size=0&trunc_cmd=0&{filters}");
        assert_eq!(read("GET", &line), Ok(jobs));
        let Ok(Call::Job { id, action, query }) = read(
            "DELETE",
            "/v1.41/containers/c0ffee?v=True&link=False&force=True",
        ) else {
            panic!("not read");
        };
        assert_eq!((id.as_str(), action.name), ("c0ffee", ""));
        assert_eq!(query, "v=1&force=1");
    }

    #[test]
    fn tricks_with_the_path_are_malformed() {
        for line in [
            "//containers/create",
            "/v1.41//containers/create",
            "/v1.41/../containers/create",
            "/v1.41/containers/./create",
            "/v1.41/containers/create/",
            "/containers/%63reate",
            "/v1.41%2fcontainers/create",
            "/containers/a%00b/start",
            "/containers/a;b/start",
            "http://engine/containers/create",
        ] {
            assert_eq!(read("POST", line), Err(400), "{line}");
        }
    }

    #[test]
    fn versions_are_numbers_from_1_24() {
        for line in [
            "/v1.23/version",
            "/v1.024/version",
            "/v1.+41/version",
            "/v1./version",
            "/v1.41x/version",
        ] {
            assert!(read("GET", line).is_err(), "{line}");
        }
        assert_eq!(read("GET", "/v2.0/version"), Err(403));
    }

    #[test]
    fn tricks_with_the_query_are_refused() {
        for (line, status) in [
            ("/containers/create?name=postgres", 403),
            ("/containers/a/start?detachKeys=a", 403),
            ("/containers/a/attach?stdin=1&stdout=1", 403),
            ("/containers/a/attach?stdin=0&stdin=1", 400),
            ("/containers/a/attach?stdin=0&STDIN=1", 400),
            ("/containers/a/attach?Stdin=1", 403),
            ("/containers/a/attach?%73tdin=1", 403),
            ("/containers/a/stop?t=-1", 403),
            ("/containers/a/stop?signal=SIGKILL", 403),
            ("/containers/a/kill?signal=SIGSTOP", 403),
            ("/containers/a/wait?condition=removed%26x", 403),
        ] {
            assert_eq!(read("POST", line), Err(status), "{line}");
        }
        for line in [
            "/containers/json?filters=%7B%22name%22%3A%5B%22p%22%5D%7D",
            "/containers/json?filters=%7B%22label%22%3A%5B%22com.docker.compose.project%22%5D%7D",
            "/containers/json?limit=3",
            "/images/json",
        ] {
            assert_eq!(read("GET", line), Err(403), "{line}");
        }
    }
}
