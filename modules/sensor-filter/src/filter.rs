//! The signal filter: moving average, threshold, hysteresis; knows nothing of HTTP, JSON or the agent.

use std::collections::VecDeque;

/// How many sensors are remembered; past it the one that was silent longest is forgotten.
const MAX_SENSORS: usize = 256;

/// When a reading passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rule {
    /// The least smoothed value that passes.
    pub(crate) threshold: f64,
    /// How far below the threshold a sensor that passed must fall before it no longer passes; 0 or more.
    pub(crate) hysteresis: f64,
    /// Over how many of a sensor's last readings the smoothed value is the mean; 1 or more.
    pub(crate) window: usize,
}

/// What became of a reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Verdict {
    /// The mean of the sensor's last readings, this one included.
    pub(crate) smoothed: f64,
    /// Whether it passes.
    pub(crate) passes: bool,
}

/// What is remembered of each sensor between readings.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    // So few that a search from end to end is soon over, in a fraction of a map's code.
    sensors: Vec<Sensor>,
    readings: u64,
}

#[derive(Debug)]
struct Sensor {
    name: String,
    last: VecDeque<f64>,
    passed: bool,
    // The number of its latest reading, counted over all sensors.
    seen: u64,
}

impl Filter {
    /// Takes the next reading of a sensor.
    pub(crate) fn push(&mut self, rule: Rule, name: &str, value: f64) -> Verdict {
        self.readings = self.readings.saturating_add(1);
        let mut sensor = self.take(name);
        sensor.seen = self.readings;
        sensor.last.push_back(value);
        while sensor.last.len() > rule.window.max(1) {
            sensor.last.pop_front();
        }
        let smoothed = mean(&sensor.last);
        let bar = if sensor.passed { rule.threshold - rule.hysteresis } else { rule.threshold };
        sensor.passed = smoothed >= bar;
        let verdict = Verdict { smoothed, passes: sensor.passed };
        self.sensors.push(sensor);
        verdict
    }

    /// How many sensors are remembered.
    pub(crate) fn sensors(&self) -> usize {
        self.sensors.len()
    }

    /// Takes a sensor out: the one of that name, or a new one, for which there is room then.
    fn take(&mut self, name: &str) -> Sensor {
        if let Some(index) = self.sensors.iter().position(|sensor| sensor.name == name) {
            return self.sensors.swap_remove(index);
        }
        if self.sensors.len() >= MAX_SENSORS {
            let silent = self.sensors.iter().enumerate().min_by_key(|(_, sensor)| sensor.seen);
            if let Some((index, _)) = silent {
                self.sensors.swap_remove(index);
            }
        }
        Sensor { name: name.to_owned(), last: VecDeque::new(), passed: false, seen: 0 }
    }
}

fn mean(values: &VecDeque<f64>) -> f64 {
    // A window is at most 64 long, and every such integer has an exact f64.
    let count = values.len() as f64;
    let sum: f64 = values.iter().sum();
    if sum.is_finite() { sum / count } else { values.iter().map(|value| value / count).sum() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(rule: Rule, values: &[f64]) -> Vec<bool> {
        let mut filter = Filter::default();
        values.iter().map(|value| filter.push(rule, "t1", *value).passes).collect()
    }

    #[test]
    fn a_reading_passes_from_the_threshold_on() {
        let rule = Rule { threshold: 20.0, hysteresis: 0.0, window: 1 };
        assert_eq!(passes(rule, &[19.9, 20.0, 25.0, 19.9]), [false, true, true, false]);
    }

    #[test]
    fn hysteresis_keeps_a_sensor_passing_until_it_falls_clear_of_the_threshold() {
        let rule = Rule { threshold: 20.0, hysteresis: 2.0, window: 1 };
        assert_eq!(passes(rule, &[19.0, 20.0, 18.0, 17.9, 19.0]), [false, true, true, false, false]);
    }

    #[test]
    fn a_window_smooths_a_spike_away_and_each_sensor_has_its_own() {
        let rule = Rule { threshold: 20.0, hysteresis: 0.0, window: 3 };
        assert_eq!(passes(rule, &[10.0, 10.0, 30.0, 30.0]), [false, false, false, true]);
        let mut filter = Filter::default();
        filter.push(rule, "a", 0.0);
        assert_eq!(filter.push(rule, "b", 30.0), Verdict { smoothed: 30.0, passes: true });
    }

    #[test]
    fn extremes_stay_finite_and_memory_stays_bounded() {
        let rule = Rule { threshold: f64::MAX, hysteresis: f64::MAX, window: 2 };
        let mut filter = Filter::default();
        filter.push(rule, "a", f64::MAX);
        assert_eq!(filter.push(rule, "a", f64::MAX), Verdict { smoothed: f64::MAX, passes: true });
        for n in 0..2 * MAX_SENSORS {
            filter.push(rule, &n.to_string(), 0.0);
            filter.push(rule, "a", 0.0);
        }
        assert_eq!(filter.sensors(), MAX_SENSORS);
        let remembered = filter.sensors.iter().any(|sensor| sensor.name == "a" && sensor.last.len() == 2);
        assert!(remembered, "the talkative one is remembered");
    }
}
