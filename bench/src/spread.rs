//! Numbers of several passes: their median and how far they lie apart.

use core::fmt;

/// The same number from several passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    pub(crate) passes: usize,
}

impl Spread {
    /// `None` of no numbers.
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Self {
            median: low.midpoint(high),
            least,
            most,
            passes: sorted.len(),
        })
    }

    /// How far the passes lie apart: what a difference has to exceed in order to mean something.
    pub(crate) const fn noise(self) -> f64 {
        self.most - self.least
    }

    /// Whether the other's median is further away than either's passes lie apart.
    pub(crate) fn is_apart_from(self, other: Self) -> bool {
        (self.median - other.median).abs() > self.noise().max(other.noise())
    }
}

/// The median, and half the noise beside it in percent of it.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Short(self.median))?;
        if self.passes > 1 && self.median != 0.0 {
            write!(
                f,
                " ±{:.0}%",
                (self.noise() / self.median.abs() * 50.0).ceil()
            )?;
        }
        Ok(())
    }
}

/// A number with three digits that count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Short(pub(crate) f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = match self.0.abs() {
            size if size >= 99.95 => 0,
            size if size >= 9.995 => 1,
            _ => 2,
        };
        write!(f, "{:.decimals$}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(numbers: &[f64], median: f64, noise: f64, text: &str) {
        let spread = Spread::of(numbers.iter().copied()).unwrap();
        assert_eq!((spread.median, spread.noise()), (median, noise));
        assert_eq!(spread.to_string(), text);
    }

    #[test]
    fn medians_and_noise() {
        assert_eq!(Spread::of([]), None);
        check(&[7.0], 7.0, 0.0, "7.00");
        check(&[3.0, 1.0], 2.0, 2.0, "2.00 ±50%");
        check(&[9.0, 1.0, 2.0], 2.0, 8.0, "2.00 ±200%");
        check(&[100.0, 104.0, 98.0], 100.0, 6.0, "100 ±3%");
        check(&[0.0, 0.0], 0.0, 0.0, "0.00");
    }

    #[test]
    fn apart_means_further_than_either_is_wide() {
        let spread = |numbers: &[f64]| Spread::of(numbers.iter().copied()).unwrap();
        let (narrow, wide) = (spread(&[1.0, 1.1, 1.2]), spread(&[1.3, 1.5, 1.9]));
        assert!(!narrow.is_apart_from(wide) && !wide.is_apart_from(narrow));
        assert!(narrow.is_apart_from(spread(&[1.4, 1.5, 1.6])));
        assert!(!narrow.is_apart_from(narrow));
    }

    #[test]
    fn three_digits() {
        let texts = [1234.0, 99.96, 12.345, 9.996, 0.1234].map(|number| Short(number).to_string());
        assert_eq!(texts, ["1234", "100", "12.3", "10.0", "0.12"]);
    }
}
