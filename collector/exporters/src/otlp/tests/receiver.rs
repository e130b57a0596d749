//! Receivers for the tests: they answer by a script and keep what they got.

use std::collections::VecDeque;
use std::future::Future;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, StatusCode};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data, number_data_point::Value};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Request, Status};

use super::super::transport::{Grpc, Wire};

/// Spawns a task that the test does not wait for.
#[expect(clippy::disallowed_methods, reason = "a test has no task tracker")]
pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

/// What a receiver does with a message.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Accept,
    Reject(i64),
    Busy(Option<Duration>),
    /// RESOURCE_EXHAUSTED or 429 without a delay, as a collector answers when its back end is throttled.
    Throttle,
    Refuse,
    /// Never answers.
    Hang,
}

/// A message as received.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) at: Instant,
    pub(super) request: ExportMetricsServiceRequest,
    pub(super) headers: HeaderMap,
    pub(super) accepted: bool,
}

/// A receiver; clones are the same.
#[derive(Clone)]
pub(super) struct Receiver {
    script: Arc<Mutex<VecDeque<Reply>>>,
    received: Arc<Mutex<Vec<Received>>>,
    count: Arc<watch::Sender<usize>>,
    /// Points that a message may have.
    most_points: usize,
}

impl Receiver {
    /// A receiver that answers by `script`, then accepts everything.
    pub(super) fn new(script: impl IntoIterator<Item = Reply>) -> Self {
        Self {
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            received: Arc::default(),
            count: Arc::new(watch::Sender::new(0)),
            most_points: usize::MAX,
        }
    }

    /// A receiver that accepts messages of so many points at most.
    pub(super) fn taking(most_points: usize) -> Self {
        Self { most_points, ..Self::new([]) }
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// What has come since the last call.
    pub(super) fn take_received(&self) -> Vec<Received> {
        std::mem::take(&mut self.received.lock().unwrap())
    }

    /// Waits until so many messages have come.
    pub(super) async fn until(&self, count: usize) {
        self.count.subscribe().wait_for(|seen| *seen >= count).await.unwrap();
    }

    /// Accepts everything from now on.
    pub(super) fn recover(&self) {
        self.script.lock().unwrap().clear();
    }

    fn take(&self, request: ExportMetricsServiceRequest, headers: HeaderMap) -> Reply {
        let reply = self.script.lock().unwrap().pop_front().unwrap_or(Reply::Accept);
        let accepted = matches!(reply, Reply::Accept | Reply::Reject(_));
        let at = Instant::now();
        self.received.lock().unwrap().push(Received { at, request, headers, accepted });
        self.count.send_modify(|count| *count += 1);
        reply
    }

    pub(super) fn service(&self) -> MetricsServiceServer<Self> {
        MetricsServiceServer::new(self.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip)
    }

    pub(super) fn router(&self) -> Router {
        Router::new().route("/v1/metrics", post(receive)).with_state(self.clone())
    }

    /// Serves gRPC on a socket.
    pub(super) async fn serve_grpc(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = self.service();
        spawn(async move {
            let incoming = tonic::transport::server::TcpIncoming::from(listener);
            Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
        });
        address
    }

    /// Serves HTTP on a socket.
    pub(super) async fn serve_http(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = self.router();
        spawn(async move { axum::serve(listener, router).await.unwrap() });
        address
    }

    /// A gRPC transport to this receiver through memory, on which the paused clock of a test stays true.
    pub(super) fn in_memory(&self) -> Wire {
        let receiver = self.clone();
        let connect = tower::service_fn(move |_: http::Uri| {
            let (near, far) = tokio::io::duplex(1 << 20);
            let service = receiver.service();
            spawn(async move {
                let incoming = tokio_stream::once(Ok::<_, std::io::Error>(far));
                Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
            });
            async move { Ok::<_, std::io::Error>(TokioIo::new(near)) }
        });
        let channel = Endpoint::from_static("http://in-memory").connect_with_connector_lazy(connect);
        Wire::Grpc(Box::new(Grpc::over(channel, true)))
    }
}

fn answer(rejected: i64) -> ExportMetricsServiceResponse {
    let partial =
        ExportMetricsPartialSuccess { rejected_data_points: rejected, error_message: "too old".to_owned() };
    ExportMetricsServiceResponse { partial_success: (rejected > 0).then_some(partial) }
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        if points(request.get_ref()) > self.most_points {
            return Err(Status::resource_exhausted("grpc: received message larger than max (9 vs. 4)"));
        }
        match self.take(request.into_inner(), headers) {
            Reply::Accept => Ok(tonic::Response::new(answer(0))),
            Reply::Reject(rejected) => Ok(tonic::Response::new(answer(rejected))),
            Reply::Busy(None) => Err(Status::unavailable("busy")),
            Reply::Busy(Some(delay)) => {
                let details = super::super::transport::retry_details(delay);
                Err(Status::with_details(Code::ResourceExhausted, "slow down", details))
            }
            Reply::Throttle => Err(Status::resource_exhausted("rate limit")),
            Reply::Refuse => Err(Status::invalid_argument("no")),
            Reply::Hang => std::future::pending().await,
        }
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let mut plain = Vec::new();
    if headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
    } else {
        plain = body.to_vec();
    }
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportMetricsServiceRequest::decode(plain.as_slice()).unwrap();
    if points(&request) > receiver.most_points {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    match receiver.take(request, headers) {
        Reply::Accept => answer(0).encode_to_vec().into_response(),
        Reply::Reject(rejected) => answer(rejected).encode_to_vec().into_response(),
        Reply::Busy(None) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Reply::Busy(Some(delay)) => {
            let seconds = delay.as_secs().to_string();
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", seconds)]).into_response()
        }
        Reply::Throttle => {
            let body = status(8, "rate limit");
            (StatusCode::TOO_MANY_REQUESTS, [("content-type", "application/x-protobuf")], body)
                .into_response()
        }
        Reply::Refuse => (StatusCode::BAD_REQUEST, "no").into_response(),
        Reply::Hang => std::future::pending().await,
    }
}

/// An encoded `google.rpc.Status`.
fn status(code: i32, message: &str) -> Vec<u8> {
    super::super::rpc_status::RpcStatus { code, message: message.to_owned(), details: Vec::new() }
        .encode_to_vec()
}

/// Every metric of a message.
pub(super) fn metrics(request: &ExportMetricsServiceRequest) -> Vec<&Metric> {
    request
        .resource_metrics
        .iter()
        .flat_map(|resource| &resource.scope_metrics)
        .flat_map(|scope| &scope.metrics)
        .collect()
}

/// The points of a message.
pub(super) fn points(request: &ExportMetricsServiceRequest) -> usize {
    metrics(request)
        .iter()
        .map(|metric| match metric.data.as_ref().unwrap() {
            Data::Gauge(gauge) => gauge.data_points.len(),
            Data::Sum(sum) => sum.data_points.len(),
            Data::Histogram(histogram) => histogram.data_points.len(),
            other => panic!("{other:?}"),
        })
        .sum()
}

/// Start, time and value of the sum points of the metric of this name, over several messages.
pub(super) fn sums(received: &[Received], name: &str) -> Vec<(u64, u64, i64)> {
    let mut out = Vec::new();
    for metric in received.iter().flat_map(|received| metrics(&received.request)) {
        if let (true, Some(Data::Sum(sum))) = (metric.name == name, &metric.data) {
            for point in &sum.data_points {
                if point.flags == 1 {
                    continue;
                }
                let Some(Value::AsInt(value)) = point.value else { panic!("{point:?}") };
                out.push((point.start_time_unix_nano, point.time_unix_nano, value));
            }
        }
    }
    out
}
