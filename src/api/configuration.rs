//! The configuration in force: every setting with its value, and the file and line that it was typed in, or that it is the default.
//! It shows what was loaded, whatever has become of the files since; secrets it does not show.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::app::App;
use super::problem::Problem;
use super::zones::{Page, bounds};
use crate::config::settings::Setting;

/// Which part.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    under: Option<String>,
    from: Option<usize>,
    limit: Option<usize>,
}

/// `GET /v1/configuration?under=&from=&limit=`.
pub(super) async fn get(State(app): State<Arc<App>>, part: Result<Query<Part>, QueryRejection>) -> Result<Json<Value>, Problem> {
    let Query(Part { under, from, limit }) = part?;
    let (from, limit) = bounds(&Page { from, limit })?;
    let loads = app.journal.read();
    let under = under.unwrap_or_default();
    let part: Vec<&Setting> = loads.settings.list.iter().filter(|setting| is_under(&setting.key, &under)).collect();
    Ok(Json(json!({
        "loaded": loads.loaded_s, "total": part.len(), "not_kept": loads.settings.not_kept,
        "settings": part.into_iter().skip(from).take(limit).map(row).collect::<Vec<_>>(),
    })))
}

/// Whole parts of a key only: `names/a` is not `names/ab/ttl`.
fn is_under(key: &str, under: &str) -> bool {
    let under = under.trim_end_matches('/');
    under.is_empty() || key.strip_prefix(under).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn row(setting: &Setting) -> Value {
    let file = setting.origin.as_ref().map(|(file, _)| file.display().to_string());
    json!({ "key": setting.key, "value": setting.value, "file": file, "line": setting.origin.as_ref().map(|(_, line)| line) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_taken_by_whole_words() {
        let under = |under: &str| is_under("names/www.example.com/ttl", under);
        assert!(["", "names", "names/", "names/www.example.com", "names/www.example.com/ttl"].into_iter().all(under));
        assert!(!["name", "names/www", "names/www.example.com/ttl/x"].into_iter().any(under));
    }
}
