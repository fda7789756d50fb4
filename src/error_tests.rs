//! What clients read of errors that no request can bring about at will.

use super::*;

#[test]
fn an_answer_that_does_not_come_is_told_as_torchserve_tells_it() {
    let secret = || "a path of this machine".to_owned();
    for (error, status, message) in [
        (PredictError::Failed(secret()), 503, "Prediction failed"),
        (PredictError::OutOfMemory(secret()), 507, "Out of resources"),
        (PredictError::DeadlinePassed, 504, "No answer within the response timeout"),
        (PredictError::WorkerDied, 500, "Worker died."),
    ] {
        let told = ServeError::from(error);
        assert_eq!((told.status, told.kind), (status, "InternalServerException"));
        assert_eq!(told.message, message);
    }
    let bad = ServeError::from(PredictError::BadInput("two columns are missing".to_owned()));
    assert_eq!((bad.status, bad.kind), (400, "BadRequestException"));
    assert_eq!(bad.message, "two columns are missing");
}
