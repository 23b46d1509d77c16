//! Takes a batch to InfluxDB: plans it, writes it in pieces of bounded size, finds the points that are refused.

use crate::metrics::Metrics;
use crate::op::Op;
use crate::plan::{self, Point};
use crate::recall::Recall;
use crate::server::Server;
use crate::trouble::Trouble;
use std::collections::HashMap;
use std::sync::Arc;

/// What a dropped point's refusal says in 1.x when it is older than anything that is kept. The sweeper would remove
/// it at once, so it is not an error.
const TOO_OLD: &str = "beyond retention policy";

/// Operations that were refused for good, and why; all others are in the store.
pub(crate) type Refused = HashMap<usize, String>;

/// Delivers batches one after the other, and remembers what it delivered.
pub(crate) struct Delivery {
    pub(crate) server: Arc<Server>,
    pub(crate) recall: Recall,
    pub(crate) points_max: usize,
    pub(crate) bytes_max: usize,
    pub(crate) metrics: Metrics,
}

impl Delivery {
    /// Writes a batch. When it fails, some of it may be written; delivering it again is harmless.
    pub(crate) async fn deliver(&mut self, ops: &[&Op]) -> Result<Refused, Trouble> {
        let plan = plan::plan(&self.server, &mut self.recall, ops).await?;
        let mut refused: Refused = plan.refused.iter().cloned().collect();
        for piece in pieces(&plan.points, self.points_max, self.bytes_max) {
            let outcome = write(&self.server, piece, |point| &point.line).await?;
            for (n, why) in outcome {
                refused.entry(piece[n].op).or_insert(why);
            }
        }
        self.metrics.points.inc_by(plan.points.len() as u64);
        self.metrics.refused.inc_by(refused.len() as u64);
        plan.remember(&mut self.recall, &refused);
        Ok(refused)
    }
}

/// Cuts points into pieces within the limits; a point that alone is over the limit is a piece of its own.
fn pieces(points: &[Point], points_max: usize, bytes_max: usize) -> Vec<&[Point]> {
    let (mut pieces, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (n, point) in points.iter().enumerate() {
        let size = point.line.len() + 1;
        if n > start && (n - start >= points_max || bytes + size > bytes_max) {
            pieces.push(&points[start..n]);
            (start, bytes) = (n, 0);
        }
        bytes += size;
    }
    if start < points.len() {
        pieces.push(&points[start..]);
    }
    pieces
}

/// Writes points; those that are refused, by index. Where the server does not name them, halves are tried until the
/// bad ones are alone: a good point is never refused because of its company.
pub(crate) async fn write<T>(
    server: &Server,
    points: &[T],
    line: impl Fn(&T) -> &str,
) -> Result<Vec<(usize, String)>, Trouble> {
    let mut refused = Vec::new();
    let mut waiting: Vec<Vec<usize>> = vec![(0..points.len()).collect()];
    while let Some(piece) = waiting.pop() {
        if piece.is_empty() {
            continue;
        }
        let mut body = String::new();
        for n in &piece {
            body.push_str(line(&points[*n]));
            body.push('\n');
        }
        match server.write(body.as_bytes()).await {
            Ok(()) => {}
            Err(Trouble::Refused { why, .. }) if is_only_old(&why) => {}
            Err(Trouble::Refused { lines, .. }) if lines.iter().any(|(n, _)| *n < piece.len()) => {
                let named: HashMap<usize, String> = lines.into_iter().collect();
                // The server may name only some of the bad ones, and may not have written the good ones.
                waiting.push(
                    (0..piece.len())
                        .filter(|n| !named.contains_key(n))
                        .map(|n| piece[n])
                        .collect(),
                );
                refused.extend(
                    named
                        .into_iter()
                        .filter_map(|(n, why)| Some((*piece.get(n)?, why))),
                );
            }
            Err(trouble @ (Trouble::Refused { .. } | Trouble::TooLarge)) => match piece.as_slice() {
                [one] => refused.push((*one, trouble.to_string())),
                several => {
                    let (left, right) = several.split_at(several.len() / 2);
                    waiting.extend([right.to_vec(), left.to_vec()]);
                }
            },
            Err(trouble @ (Trouble::Away { .. } | Trouble::Unready { .. } | Trouble::Odd { .. })) => {
                return Err(trouble);
            }
        }
    }
    Ok(refused)
}

/// Whether points were refused for their age and nothing else.
fn is_only_old(why: &str) -> bool {
    why.contains(TOO_OLD) && !why.contains("unable to parse") && !why.contains("conflict")
}
