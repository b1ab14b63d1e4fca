//! `/v1/fleet`: who watches what, where several daemons share their streams.

use aide::transform::TransformOperation;
use avicuna_pipeline::fleet::Overview;
use axum::Json;
use axum::extract::State;

use super::Shared;
use crate::problem::Problem;

pub async fn overview(State(app): Shared) -> Result<Json<Overview>, Problem> {
    match app.streams.fleet() {
        Some(desk) => Ok(Json(desk.overview())),
        None if app.streams.are_shared() => {
            Err(Problem::unavailable("the fleet's brokers have not answered yet; try again"))
        }
        None => Err(Problem::not_found("this daemon is of no fleet; fleet.group would name one")),
    }
}

pub fn overview_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("fleet")
        .tag("fleet")
        .summary("Who watches what")
        .description(
            "Every daemon of the fleet, with its partitions, streams, capacity and load, and every stream, with who watches it. Of \
             each daemon it is what it told last, a few seconds ago.",
        )
        .response::<404, Problem>()
}
