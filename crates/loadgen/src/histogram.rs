//! A latency histogram: fixed memory, constant time per value, relative error at most 1/32.
//!
//! Values are microseconds. Below 64 every value has a bucket of its own; above, each power of two is cut into 32.

const STEPS: usize = 32;
/// The first 64 values take two groups of 32, each of the 58 powers of two above them one.
const BUCKETS: usize = (2 + 58) * STEPS;

/// Counts of values by bucket.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            counts: vec![0; BUCKETS],
            total: 0,
            max: 0,
        }
    }
}

impl Histogram {
    /// Adds one value.
    pub fn record(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    /// How many values were recorded.
    pub fn len(&self) -> u64 {
        self.total
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The largest value, exactly.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The smallest bucket bound below or at which `share` (0 to 1) of the values lie; 0 when empty.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (share * self.total as f64).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= wanted {
                return upper_bound(index).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(value: u64) -> usize {
    if value < 2 * STEPS as u64 {
        return value as usize;
    }
    let shift = 63 - value.leading_zeros() as usize - 5;
    shift * STEPS + (value >> shift) as usize
}

fn upper_bound(bucket: usize) -> u64 {
    if bucket < 2 * STEPS {
        return bucket as u64;
    }
    let shift = bucket / STEPS - 1;
    let lower = ((bucket % STEPS + STEPS) as u64) << shift;
    lower + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_that_ends_at_most_a_thirty_second_above_it() {
        let mut value = 0_u64;
        while value < u64::MAX / 3 {
            let bound = upper_bound(bucket(value));
            assert!(
                bound >= value && bound - value <= value / 32,
                "{value} ends at {bound}"
            );
            value = value * 3 / 2 + 1;
        }
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn quantiles_of_one_to_a_thousand_are_where_they_should_be() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|value| histogram.record(value));
        for (share, exact) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = histogram.quantile(share) as f64;
            assert!(found >= exact && found <= exact * 1.04, "{share}: {found}");
        }
        assert_eq!(histogram.max(), 1000);
    }

    #[test]
    fn an_empty_histogram_answers_zero() {
        assert!(Histogram::default().is_empty());
        assert_eq!(Histogram::default().quantile(0.99), 0);
    }
}
