// A release as TensorFlow Serving loads and runs it: in C++, without Python or labse_tf.
//
//   serve LIBRARY:LIBRARY... RELEASE embed THREADS        < sentences > embeddings
//   serve LIBRARY:LIBRARY... RELEASE warmup               prints a line for each request
//   serve LIBRARY:LIBRARY... RELEASE load CLIENTS REQUESTS [CLIENTS REQUESTS...] < sentences
//                                                      prints a line of JSON for each two
//
// A sentence is its length in bytes (uint32) and its bytes; embeddings are float32. The libraries
// are those with the text operations, which TensorFlow Serving has linked.

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>
#include <vector>

#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/lib/io/record_reader.h"
#include "tensorflow/core/platform/env.h"
#include "tensorflow/core/public/session.h"

namespace tf = tensorflow;
using Inputs = std::vector<std::pair<std::string, tf::Tensor>>;

void check(const absl::Status& status, const std::string& what) {
  if (status.ok()) return;
  std::cerr << "error: " << what << ": " << status << std::endl;
  std::exit(2);
}

// Runs a signature by the names that its inputs and outputs have in the model's description.
tf::Tensor run(const tf::SavedModelBundle& model, const std::string& name, const Inputs& inputs) {
  const auto found = model.GetSignatures().find(name);
  if (found == model.GetSignatures().end()) check(tf::errors::NotFound(name), "no signature");
  Inputs feeds;
  for (const auto& [key, value] : inputs)
    feeds.emplace_back(found->second.inputs().at(key).name(), value);
  std::vector<tf::Tensor> outputs;
  check(model.session->Run(feeds, {found->second.outputs().at("embeddings").name()}, {}, &outputs),
        "run");
  return outputs[0];
}

std::vector<std::string> read_sentences() {
  std::vector<std::string> sentences;
  for (uint32_t size; std::cin.read(reinterpret_cast<char*>(&size), sizeof(size));) {
    sentences.emplace_back(size, '\0');
    std::cin.read(sentences.back().data(), size);
  }
  return sentences;
}

tf::Tensor strings(const std::vector<std::string>& sentences) {
  tf::Tensor tensor(tf::DT_STRING, {static_cast<int64_t>(sentences.size())});
  std::copy(sentences.begin(), sentences.end(), tensor.vec<tf::tstring>().data());
  return tensor;
}

void in_threads(int count, const std::function<void(int)>& work) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back(work, i);
  for (auto& thread : threads) thread.join();
}

int embed(const tf::SavedModelBundle& model, int threads) {
  const Inputs inputs = {{"sentences", strings(read_sentences())}};
  std::vector<tf::Tensor> results(threads);
  in_threads(threads, [&](int i) { results[i] = run(model, "serving_default", inputs); });
  for (const auto& result : results) std::cout << result.tensor_data();
  return 0;
}

// The fields of a protocol buffer that are strings or messages: numbers and contents.
std::vector<std::pair<int, std::string>> fields(const std::string& message) {
  std::vector<std::pair<int, std::string>> found;
  size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const uint8_t byte = message.at(at++);
      value |= uint64_t{byte & 127u} << shift;
      if (byte < 128) return value;
    }
  };
  while (at < message.size()) {
    const uint64_t tag = varint();
    if ((tag & 7) != 2) check(tf::errors::DataLoss("wire type"), "warm-up");
    const uint64_t size = varint();
    found.emplace_back(tag >> 3, message.substr(at, size));
    at += size;
  }
  return found;
}

int warmup(const tf::SavedModelBundle& model, const std::string& release) {
  std::unique_ptr<tf::RandomAccessFile> file;
  check(tf::Env::Default()->NewRandomAccessFile(
            release + "/assets.extra/tf_serving_warmup_requests", &file), "warm-up");
  tf::io::SequentialRecordReader reader(file.get());
  absl::Status status;
  for (tf::tstring record; (status = reader.ReadRecord(&record)).ok();) {
    const auto log = fields(std::string(record));                  // PredictionLog.predict_log
    const auto request = fields(log.at(0).second).at(0).second;    // PredictLog.request
    std::string signature;
    Inputs inputs;
    for (const auto& [number, value] : fields(request)) {
      if (number == 1) {  // PredictRequest.model_spec
        for (const auto& [n, text] : fields(value)) if (n == 3) signature = text;
      } else if (number == 2) {  // an entry of PredictRequest.inputs
        tf::TensorProto proto;
        const auto entry = fields(value);
        tf::Tensor tensor;
        if (!proto.ParseFromString(entry.at(1).second) || !tensor.FromProto(proto))
          check(tf::errors::DataLoss("tensor"), "warm-up");
        inputs.emplace_back(entry.at(0).second, tensor);
      }
    }
    std::cout << signature << " " << run(model, signature, inputs).dim_size(0) << std::endl;
  }
  if (!tf::errors::IsOutOfRange(status)) check(status, "warm-up");
  return 0;
}

int64_t memory(const std::string& field) {
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;)
    if (word == field + ":") {
      int64_t kilobytes;
      file >> kilobytes;
      return kilobytes;
    }
  return -1;
}

int load(const tf::SavedModelBundle& model, const std::vector<std::string>& sentences,
         int clients, int requests) {
  std::vector<std::vector<double>> times(clients);
  using clock = std::chrono::steady_clock;
  const auto milliseconds = [](clock::duration d) {
    return std::chrono::duration<double, std::milli>(d).count();
  };
  const int64_t before = memory("VmRSS");
  const auto start = clock::now();
  in_threads(clients, [&](int client) {
    for (int i = client; i < requests; i += clients) {
      const auto sent = clock::now();
      run(model, "serving_default", {{"sentences", strings({sentences[i % sentences.size()]})}});
      times[client].push_back(milliseconds(clock::now() - sent));
    }
  });
  const double seconds = milliseconds(clock::now() - start) / 1000;
  std::vector<double> all;
  for (const auto& some : times) all.insert(all.end(), some.begin(), some.end());
  std::sort(all.begin(), all.end());
  std::cout << "{\"clients\": " << clients << ", \"requests\": " << all.size()
            << ", \"per_second\": " << all.size() / seconds
            << ", \"p50_ms\": " << all[all.size() / 2]
            << ", \"p99_ms\": " << all[all.size() * 99 / 100] << ", \"rss_before_kb\": " << before
            << ", \"rss_after_kb\": " << memory("VmRSS") << "}" << std::endl;
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 4) return 1;
  const std::string release = argv[2], command = argv[3];
  std::istringstream libraries(argv[1]);
  for (std::string library; std::getline(libraries, library, ':');)
    if (!dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL))
      check(tf::errors::NotFound(dlerror()), "library");
  tf::SavedModelBundle model;
  check(tf::LoadSavedModel({}, {}, release, {"serve"}, &model), "load");
  if (command == "embed" && argc == 5) return embed(model, std::atoi(argv[4]));
  if (command == "warmup" && argc == 4) return warmup(model, release);
  if (command != "load") return 1;
  const auto sentences = read_sentences();
  if (sentences.empty()) check(tf::errors::InvalidArgument("no sentences"), "load");
  for (int i = 4; i + 1 < argc; i += 2)
    load(model, sentences, std::atoi(argv[i]), std::atoi(argv[i + 1]));
  return 0;
}
