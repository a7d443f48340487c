//! The text of `/metrics`, parsed; knows nothing of what is measured.

use std::collections::BTreeMap;

/// One reading of `/metrics`.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// The page as it came.
    pub text: String,
    /// The value of each series; the key is as it stands on the page, labels included.
    pub series: BTreeMap<String, f64>,
}

impl Metrics {
    /// Parses a page, and panics on a line that is no Prometheus text format.
    pub fn parse(text: &str) -> Self {
        let series = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no metric: {line}"));
                (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("no number: {line}")))
            })
            .collect();
        Self { text: text.to_owned(), series }
    }

    /// The sum of the series of this name whose labels hold all of `labels`, each as `key="value"`; 0 if there is
    /// none, as for a counter that has not counted yet.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let of_name =
            |key: &str| key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
        let fits = |key: &str| of_name(key) && labels.iter().all(|label| key.contains(label));
        self.series.iter().filter(|(key, _)| fits(key)).map(|(_, value)| value).sum()
    }

    /// What stands in the line `# HELP name …`.
    pub fn help(&self, name: &str) -> Option<&str> {
        self.comment("HELP", name)
    }

    /// What stands in the line `# TYPE name …`.
    pub fn kind(&self, name: &str) -> Option<&str> {
        self.comment("TYPE", name)
    }

    fn comment(&self, what: &str, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(&format!("# {what} {name} ")))
    }
}
