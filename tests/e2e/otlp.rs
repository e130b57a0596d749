//! The same series reach OTLP receivers over gRPC and HTTP, and Prometheus, with the same values.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use ig_tests::{collector::Collector, events::Probe, wait_for};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    common::v1::any_value,
    metrics::v1::{AggregationTemporality, metric, number_data_point},
};
use prost::Message as _;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, codec::CompressionEncoding};

/// A flag of points.
const NO_RECORDED_VALUE: u32 = 1;

/// What a receiver was sent.
#[derive(Clone, Default)]
struct Received {
    requests: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
    headers: Arc<Mutex<Vec<BTreeMap<String, String>>>>,
}

/// A point of a sum, with what identifies it.
struct Point {
    value: i64,
    temporality: AggregationTemporality,
    resource: BTreeMap<String, String>,
}

impl Received {
    /// Every point of the sum `name` whose attribute `proc.comm` is `comm`, in order of arrival.
    fn points(&self, name: &str, comm: &str) -> Vec<Point> {
        let mut points = Vec::new();
        for request in self.requests.lock().unwrap().iter() {
            for resource in &request.resource_metrics {
                let attributes = resource.resource.as_ref().map(|resource| text_map(&resource.attributes));
                for metric in resource.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
                    let Some(metric::Data::Sum(sum)) = &metric.data else { continue };
                    if metric.name != name {
                        continue;
                    }
                    for point in &sum.data_points {
                        if text_map(&point.attributes).get("proc.comm").map(String::as_str) != Some(comm) {
                            continue;
                        }
                        if point.flags & NO_RECORDED_VALUE != 0 {
                            continue;
                        }
                        let Some(number_data_point::Value::AsInt(value)) = point.value else {
                            panic!("no integer")
                        };
                        assert!(sum.is_monotonic);
                        assert!(
                            point.start_time_unix_nano > 0
                                && point.start_time_unix_nano <= point.time_unix_nano
                        );
                        points.push(Point {
                            value,
                            temporality: sum.aggregation_temporality(),
                            resource: attributes.clone().unwrap_or_default(),
                        });
                    }
                }
            }
        }
        points
    }
}

impl Received {
    /// How many series of any kind named `name` were told to have ended.
    fn ends(&self, name: &str) -> usize {
        let requests = self.requests.lock().unwrap();
        let scopes =
            requests.iter().flat_map(|request| &request.resource_metrics).flat_map(|r| &r.scope_metrics);
        let metrics = scopes.flat_map(|scope| &scope.metrics).filter(|metric| metric.name == name);
        let points = metrics.flat_map(|metric| match metric.data.as_ref() {
            Some(metric::Data::Sum(sum)) => sum.data_points.as_slice(),
            Some(metric::Data::Gauge(gauge)) => gauge.data_points.as_slice(),
            _ => &[],
        });
        points.filter(|point| point.flags & NO_RECORDED_VALUE != 0).count()
    }

    /// The last value of a metric of the collector itself, whatever its attributes.
    fn own(&self, name: &str) -> Option<i64> {
        let requests = self.requests.lock().unwrap();
        let scopes =
            requests.iter().flat_map(|request| &request.resource_metrics).flat_map(|r| &r.scope_metrics);
        let own = scopes.filter(|scope| scope.scope.as_ref().is_some_and(|scope| scope.name == "ig"));
        let metrics = own.flat_map(|scope| &scope.metrics).filter(|metric| metric.name == name);
        let points = metrics.filter_map(|metric| match metric.data.as_ref()? {
            metric::Data::Sum(sum) => sum.data_points.last(),
            metric::Data::Gauge(gauge) => gauge.data_points.last(),
            _ => None,
        });
        let mut values = points.filter_map(|point| match point.value {
            Some(number_data_point::Value::AsInt(value)) => Some(value),
            _ => None,
        });
        values.next_back()
    }
}

fn text_map(attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> BTreeMap<String, String> {
    attributes
        .iter()
        .filter_map(|attribute| match attribute.value.as_ref()?.value.as_ref()? {
            any_value::Value::StringValue(text) => Some((attribute.key.clone(), text.clone())),
            _ => None,
        })
        .collect()
}

struct Service(Received);

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let headers = request
            .metadata()
            .as_ref()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
            .collect();
        self.0.headers.lock().unwrap().push(headers);
        self.0.requests.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// Runs `serve` on a thread of its own for the rest of the test run.
fn background<F: Future<Output = ()>>(serve: impl FnOnce() -> F + Send + 'static) {
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serve());
    });
}

fn grpc_receiver() -> (SocketAddr, Received) {
    let received = Received::default();
    let service =
        MetricsServiceServer::new(Service(received.clone())).accept_compressed(CompressionEncoding::Gzip);
    let address = SocketAddr::from(([127, 0, 0, 1], ig_tests::free_port()));
    background(move || async move {
        tonic::transport::Server::builder().add_service(service).serve(address).await.unwrap();
    });
    (address, received)
}

async fn take_http(State(received): State<Received>, headers: axum::http::HeaderMap, body: Bytes) -> Vec<u8> {
    let map = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    received.headers.lock().unwrap().push(map);
    received.requests.lock().unwrap().push(ExportMetricsServiceRequest::decode(body).unwrap());
    ExportMetricsServiceResponse::default().encode_to_vec()
}

fn http_receiver() -> (SocketAddr, Received) {
    let received = Received::default();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/v1/metrics", post(take_http)).with_state(received.clone());
    background(move || async move {
        axum::serve(TcpListener::from_std(listener).unwrap(), router).await.unwrap();
    });
    (address, received)
}

/// Scenario: one gadget, three exporters: Prometheus, OTLP over gRPC (cumulative, gzip, headers) and OTLP over HTTP
/// (delta).
/// Guarantees: all three agree on the count; temporality, headers and resource attributes are as configured.
#[test]
fn all_exporters_agree() {
    let (grpc, by_grpc) = grpc_receiver();
    let (http, by_http) = http_receiver();
    let collector = Collector::start(&format!(
        "exporters:
  otlp:
    main: {{endpoint: \"http://{grpc}\", protocol: grpc, interval: 1s, compression: gzip, headers: {{x-tenant: blue}}, resource: {{deployment.environment.name: test}}}}
    other: {{endpoint: \"http://{http}\", protocol: http/protobuf, interval: 1s, temporality: delta, compression: none}}
gadgets:
  - name: exec
    image: trace_exec
    image-metrics: false
    metrics: [{{name: executions, type: counter, labels: [proc.comm], description: Programs started}}]
"
    ));
    let probe = Probe::new(collector.folder(), "ig-otlp");
    let comm = probe.comm();
    // Each exporter sends several messages: the next events come when it has sent those before.
    for total in [40, 80, 120] {
        probe.run_times(40);
        wait_for("gRPC to have all", || {
            (by_grpc.points("executions", comm).last()?.value == total).then_some(())
        });
        wait_for("HTTP to have all", || {
            let sum: i64 = by_http.points("executions", comm).iter().map(|point| point.value).sum();
            (sum == total).then_some(())
        });
    }
    collector.wait_for_sum("executions_total", &[("proc_comm", comm)], 120.0);

    let points = by_grpc.points("executions", comm);
    assert!(points.iter().all(|point| point.temporality == AggregationTemporality::Cumulative));
    assert!(points.is_sorted_by_key(|point| point.value));
    let resource = &points[0].resource;
    assert_eq!(resource.get("deployment.environment.name").map(String::as_str), Some("test"));
    assert_eq!(resource.get("service.name").map(String::as_str), Some("ig"));
    assert!(resource.contains_key("host.name"), "{resource:?}");
    let instance = resource.get("service.instance.id").expect("an instance id");
    assert_eq!(collector.sum("target_info", &[("service_instance_id", instance)]), 1.0);
    for receiver in [&by_grpc, &by_http] {
        wait_for("the collector's own metrics", || {
            (receiver.own("ig_gadget_events_delivered")? >= 120).then_some(())
        });
    }
    assert_eq!(by_grpc.headers.lock().unwrap()[0].get("x-tenant").map(String::as_str), Some("blue"));
    let deltas = by_http.points("executions", comm);
    assert!(deltas.iter().all(|point| point.temporality == AggregationTemporality::Delta));
    assert!(collector.sum("ig_otlp_points_exported_total", &[("exporter", "main")]) > 0.0);
}

/// Scenario: the interval is an hour and the collector is told to stop right after the last event.
/// Guarantees: what happened is flushed to the receiver before the process ends with success, which tells the ends of the
/// gadget's series and of the collector's gauges.
#[test]
fn stopping_flushes() {
    let (grpc, received) = grpc_receiver();
    let mut collector = Collector::start(&format!(
        "exporters:
  otlp:
    main: {{endpoint: \"http://{grpc}\", protocol: grpc, interval: 1h}}
gadgets:
  - name: exec
    image: trace_exec
    image-metrics: false
    metrics: [{{name: executions, type: counter, labels: [proc.comm]}}]
"
    ));
    let probe = Probe::new(collector.folder(), "ig-flsh");
    probe.run_times(25);
    assert!(collector.stop().success(), "{}", collector.log());
    assert_eq!(received.points("executions", probe.comm()).last().unwrap().value, 25);
    assert!(received.ends("executions") > 0);
    assert_eq!(received.ends("process_threads"), 1);
}

/// Scenario: one receiver is down, one takes connections and never answers.
/// Guarantees: gadgets and scrapes go on, failures are counted and logged with the endpoint, the process stops in
/// bounded time, and the receiver that comes back gets the totals.
#[test]
fn sick_receivers_harm_nobody() {
    let down = SocketAddr::from(([127, 0, 0, 1], ig_tests::free_port()));
    let hanging = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut collector = Collector::start(&format!(
        "exporters:
  otlp:
    down: {{endpoint: \"http://{down}\", protocol: grpc, interval: 1s, timeout: 1s}}
    hanging: {{endpoint: \"http://{}\", protocol: http/protobuf, interval: 1s, timeout: 1s}}
gadgets:
  - name: exec
    image: trace_exec
    image-metrics: false
    metrics: [{{name: executions, type: counter, labels: [proc.comm]}}]
",
        hanging.local_addr().unwrap()
    ));
    let probe = Probe::new(collector.folder(), "ig-sick");
    probe.run_times(10);
    for name in ["down", "hanging"] {
        wait_for("failures to be counted", || {
            (collector.sum("ig_otlp_export_failures_total", &[("exporter", name)]) >= 1.0).then_some(())
        });
    }
    collector.wait_for_sum("executions_total", &[("proc_comm", probe.comm())], 10.0);
    assert!(collector.log().contains(&down.to_string()), "{}", collector.log());

    let received = Received::default();
    let service =
        MetricsServiceServer::new(Service(received.clone())).accept_compressed(CompressionEncoding::Gzip);
    background(move || async move {
        tonic::transport::Server::builder().add_service(service).serve(down).await.unwrap();
    });
    wait_for("the receiver that came back", || {
        (received.points("executions", probe.comm()).last()?.value == 10).then_some(())
    });
    assert!(collector.stop().success(), "{}", collector.log());
}
