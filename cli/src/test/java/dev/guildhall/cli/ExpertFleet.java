package dev.guildhall.cli;

import dev.guildhall.expert.ExpertOptions;
import dev.guildhall.expert.ExpertServer;
import dev.guildhall.onnx.Device;
import dev.guildhall.repository.ExpertParallel;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.rpc.Transport;
import io.micrometer.core.instrument.MeterRegistry;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/** Expert services of this process that listen on free ports of the loopback. */
record ExpertFleet(List<ExpertServer> servers) implements AutoCloseable {

  /** One service a slice. */
  static ExpertFleet start(
      LayerRepository repository,
      List<ExpertParallel> slices,
      Transport transport,
      MeterRegistry registry)
      throws IOException {
    List<ExpertServer> servers = new ArrayList<>();
    for (ExpertParallel slice : slices) {
      servers.add(
          ExpertServer.start(
              ExpertOptions.of("slice-" + servers.size(), slice, Device.CPU, 1),
              repository,
              transport.server(0),
              registry));
    }
    return new ExpertFleet(servers);
  }

  /** Every rank of {@code epSize}. */
  static List<ExpertParallel> ranks(int epSize) {
    return IntStream.range(0, epSize).mapToObj(rank -> new ExpertParallel(rank, epSize)).toList();
  }

  List<String> targets() {
    return servers.stream().map(server -> "localhost:" + server.port()).toList();
  }

  @Override
  public void close() {
    servers.forEach(ExpertServer::close);
  }
}
