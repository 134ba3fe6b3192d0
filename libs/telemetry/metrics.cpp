#include "libs/telemetry/metrics.hpp"

#include <prometheus/check_names.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <mutex>

#include "libs/telemetry/log.hpp"
#include "libs/telemetry/process_metrics.hpp"

namespace raymesh::metrics {
namespace {

// prometheus-cpp's own metrics take a lock (Histogram) or loop on a double (Counter); ours don't,
// and the library gives the model and the text format.
class Metric {
 public:
  virtual ~Metric() = default;
  virtual void collect(prometheus::ClientMetric& out) const = 0;
};

struct CounterMetric final : Metric {
  Counter is;
  void collect(prometheus::ClientMetric& out) const override { out.counter.value = is.value(); }
};

struct GaugeMetric final : Metric {
  Gauge is;
  void collect(prometheus::ClientMetric& out) const override { out.gauge.value = is.value(); }
};

struct HistogramMetric final : Metric {
  explicit HistogramMetric(const std::vector<double>& bounds) : is(bounds) {}
  Histogram is;
  void collect(prometheus::ClientMetric& out) const override {
    uint64_t total = 0;
    for (size_t i = 0; i <= is.bounds().size(); ++i) {
      total += is.count(i);
      if (i == is.bounds().size()) break;  // the serializer adds +Inf from the count
      prometheus::ClientMetric::Bucket bucket;
      bucket.cumulative_count = total;
      bucket.upper_bound = is.bounds()[i];
      out.histogram.bucket.push_back(bucket);
    }
    out.histogram.sample_count = total;
    out.histogram.sample_sum = is.sum();
  }
};

class FunctionImpl final : public Metric {
 public:
  FunctionImpl(prometheus::MetricType type, std::function<double()> read)
      : type_(type), read_(std::move(read)) {}
  void collect(prometheus::ClientMetric& out) const override {
    double value = read_();
    if (type_ == prometheus::MetricType::Counter) {
      out.counter.value = value;
    } else {
      out.gauge.value = value;
    }
  }

 private:
  const prometheus::MetricType type_;
  const std::function<double()> read_;
};

struct Family {
  std::string help;
  prometheus::MetricType type{};
  std::map<Labels, std::unique_ptr<Metric>> metrics;
};

class RegistryImpl final : public Registry {
 public:
  Counter& counter(const std::string& name, const std::string& help,
                   const Labels& labels) override {
    return get<CounterMetric>(name, help, labels, prometheus::MetricType::Counter,
                              [] { return std::make_unique<CounterMetric>(); });
  }
  Gauge& gauge(const std::string& name, const std::string& help, const Labels& labels) override {
    return get<GaugeMetric>(name, help, labels, prometheus::MetricType::Gauge,
                            [] { return std::make_unique<GaugeMetric>(); });
  }
  Histogram& histogram(const std::string& name, const std::string& help,
                       const std::vector<double>& buckets, const Labels& labels) override {
    if (buckets.empty() || !std::is_sorted(buckets.begin(), buckets.end()))
      refuse(name, "its buckets are not sorted");
    if (buckets.size() > Histogram::kMaxBounds) refuse(name, "it has too many buckets");
    return get<HistogramMetric>(name, help, labels, prometheus::MetricType::Histogram,
                                [&] { return std::make_unique<HistogramMetric>(buckets); });
  }
  void gauge_function(const std::string& name, const std::string& help, const Labels& labels,
                      std::function<double()> read) override {
    function(name, help, labels, prometheus::MetricType::Gauge, std::move(read));
  }
  void counter_function(const std::string& name, const std::string& help, const Labels& labels,
                        std::function<double()> read) override {
    function(name, help, labels, prometheus::MetricType::Counter, std::move(read));
  }

  std::string render() override {
    std::vector<prometheus::MetricFamily> out;
    {
      std::lock_guard lock(mutex_);
      out.reserve(families_.size());
      for (const auto& [name, family] : families_) {
        prometheus::MetricFamily& f = out.emplace_back();
        f.name = name;
        f.help = family.help;
        f.type = family.type;
        f.metric.reserve(family.metrics.size());
        for (const auto& [labels, metric] : family.metrics) {
          prometheus::ClientMetric& m = f.metric.emplace_back();
          for (const auto& [key, value] : labels) m.label.push_back({key, value});
          metric->collect(m);
        }
      }
    }
    return prometheus::TextSerializer().Serialize(out);
  }

  std::vector<std::string> names() override {
    std::lock_guard lock(mutex_);
    std::vector<std::string> out;
    for (const auto& [name, family] : families_) out.push_back(name);
    return out;
  }

 private:
  [[noreturn]] static void refuse(const std::string& name, std::string_view why) {
    log::error("metric cannot be registered", {{"metric", name}, {"why", why}});
    log::flush();
    std::abort();
  }

  // Called with mutex_ held.
  std::unique_ptr<Metric>& slot(const std::string& name, const std::string& help,
                                const Labels& labels, prometheus::MetricType type) {
    if (!prometheus::CheckMetricName(name)) refuse(name, "not a metric name");
    for (const auto& [key, value] : labels)
      if (!prometheus::CheckLabelName(key)) refuse(name, "label \"" + key + "\" is not a name");
    Family& family = families_[name];
    if (family.metrics.empty()) {
      family.help = help;
      family.type = type;
    } else if (family.type != type) {
      refuse(name, "it exists with another type");
    }
    return family.metrics[labels];
  }

  template <class T, class Make>
  decltype(T::is)& get(const std::string& name, const std::string& help, const Labels& labels,
                       prometheus::MetricType type, Make make) {
    std::lock_guard lock(mutex_);
    auto& metric = slot(name, help, labels, type);
    if (!metric) metric = make();
    auto* typed = dynamic_cast<T*>(metric.get());
    if (!typed) refuse(name, "it exists as a function");
    return typed->is;
  }

  void function(const std::string& name, const std::string& help, const Labels& labels,
                prometheus::MetricType type, std::function<double()> read) {
    std::lock_guard lock(mutex_);
    slot(name, help, labels, type) = std::make_unique<FunctionImpl>(type, std::move(read));
  }

  std::mutex mutex_;
  std::map<std::string, Family> families_;
};

}  // namespace

void Counter::add(double n) {
  const auto whole = static_cast<uint64_t>(n > 0 ? n : 0);
  if (static_cast<double>(whole) == n)
    add(whole);
  else if (n > 0)
    fraction_.fetch_add(n, std::memory_order_relaxed);
}

double Counter::value() const {
  return static_cast<double>(cells_.sum(0)) + fraction_.load(std::memory_order_relaxed);
}

void Gauge::set(double v) {
  base_.store(v - added(), std::memory_order_relaxed);
}

double Gauge::value() const {
  return base_.load(std::memory_order_relaxed) + added();
}

// What goes down has gone up before: read in this order, a gauge that other threads move is not
// seen below zero.
double Gauge::added() const {
  const double down = cells_.sum_real(kDown);
  return cells_.sum_real(kUp) - down;
}

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)), cells_(bounds_.size() + 2) {}

void Histogram::observe(double v) {
  // From below, since what happens often is what takes little time.
  size_t bucket = 0;
  while (bucket < bounds_.size() && bounds_[bucket] < v) ++bucket;
  cells_.add(bucket, 1);
  cells_.add_real(bounds_.size() + 1, v);
}

std::vector<double> latency_buckets() {
  return {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
          0.05,   0.1,     0.25,   0.5,   1,      2.5,   5,    10};
}

std::shared_ptr<Registry> Registry::create() {
  auto registry = std::make_shared<RegistryImpl>();
  add_process_metrics(*registry);
  return registry;
}

}  // namespace raymesh::metrics
