package dev.guildhall.deploy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fabric8.kubernetes.api.model.Container;
import io.fabric8.kubernetes.api.model.ContainerPort;
import io.fabric8.kubernetes.api.model.Pod;
import io.fabric8.kubernetes.api.model.PodSpec;
import io.fabric8.kubernetes.api.model.Probe;
import io.fabric8.kubernetes.api.model.Service;
import io.fabric8.kubernetes.api.model.ServicePort;
import io.fabric8.kubernetes.api.model.Volume;
import io.fabric8.kubernetes.api.model.VolumeMount;
import io.fabric8.kubernetes.api.model.apps.Deployment;
import io.fabric8.kubernetes.api.model.autoscaling.v2.HorizontalPodAutoscaler;
import io.fabric8.kubernetes.api.model.policy.v1.PodDisruptionBudget;
import io.fabric8.openshift.api.model.monitoring.v1.PrometheusRule;
import io.fabric8.openshift.api.model.monitoring.v1.ServiceMonitor;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What helm makes of the chart, without a cluster. */
class HelmChartTest {
  private static final String GPU =
      "experts.device=cuda,experts.gpus=2,experts.nodeSelector.accelerator=h100";
  private static final String TLS =
      "tls.router.secret=public,tls.router.clientCertificates=true,tls.internal.secret=internal";
  private static final String OBSERVED =
      "serviceMonitor.enabled=true,prometheusRule.enabled=true,networkPolicy.enabled=true";
  private static final String SCALED =
      "router.autoscaling.enabled=true,experts.autoscaling.enabled=true,experts.ranks=3";
  private static final String IMAGE =
      "models.persistentVolumeClaim=,models.image.reference=models:1";
  private static final String OBJECT_STORE =
      "models.persistentVolumeClaim=,models.objectStore.image=rclone:1,"
          + "models.objectStore.args={copy,s3:models,/models},models.objectStore.secret=keys";

  @BeforeAll
  static void helmIsThere() {
    Tools.need("helm");
  }

  @Test
  void lintFindsNothing() throws Exception {
    assertTrue(HelmChart.lint().contains("0 chart(s) failed"));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"", GPU, TLS, OBSERVED, SCALED, IMAGE, OBJECT_STORE, TLS + "," + OBSERVED})
  void whatIsRenderedFitsTogether(String values) throws Exception {
    HelmChart chart = HelmChart.render(values);
    for (Deployment deployment : chart.all(Deployment.class).toList()) {
      PodSpec pod = deployment.getSpec().getTemplate().getSpec();
      Map<String, String> labels = deployment.getSpec().getTemplate().getMetadata().getLabels();
      assertTrue(
          labels
              .entrySet()
              .containsAll(deployment.getSpec().getSelector().getMatchLabels().entrySet()));
      Container container = pod.getContainers().getFirst();
      probesNamePortsOf(container);
      mountsNameVolumesOf(pod);
      assertEquals(65532, pod.getSecurityContext().getRunAsUser());
      assertTrue(container.getSecurityContext().getReadOnlyRootFilesystem());
      targetsNameServices(container, chart);
    }
    for (Service service : chart.all(Service.class).toList()) {
      Deployment selected = only(chart, service.getSpec().getSelector());
      Set<String> ports =
          selected.getSpec().getTemplate().getSpec().getContainers().getFirst().getPorts().stream()
              .map(ContainerPort::getName)
              .collect(Collectors.toSet());
      for (ServicePort port : service.getSpec().getPorts()) {
        assertTrue(ports.contains(port.getTargetPort().getStrVal()), port.toString());
      }
    }
    chart
        .all(PodDisruptionBudget.class)
        .forEach(budget -> only(chart, budget.getSpec().getSelector().getMatchLabels()));
    Set<String> deployments =
        chart
            .all(Deployment.class)
            .map(deployment -> deployment.getMetadata().getName())
            .collect(Collectors.toSet());
    chart
        .all(HorizontalPodAutoscaler.class)
        .forEach(scaler ->
            assertTrue(deployments.contains(scaler.getSpec().getScaleTargetRef().getName())));
  }

  private static Deployment only(HelmChart chart, Map<String, String> selector) {
    List<Deployment> selected =
        chart
            .all(Deployment.class)
            .filter(deployment ->
                deployment
                    .getSpec()
                    .getTemplate()
                    .getMetadata()
                    .getLabels()
                    .entrySet()
                    .containsAll(selector.entrySet()))
            .toList();
    assertEquals(1, selected.size(), selector.toString());
    return selected.getFirst();
  }

  private static void probesNamePortsOf(Container container) {
    Set<String> names =
        container.getPorts().stream().map(ContainerPort::getName).collect(Collectors.toSet());
    Set<Integer> numbers =
        container.getPorts().stream()
            .map(ContainerPort::getContainerPort)
            .collect(Collectors.toSet());
    for (Probe probe :
        List.of(
            container.getStartupProbe(),
            container.getReadinessProbe(),
            container.getLivenessProbe())) {
      if (probe.getTcpSocket() != null) {
        assertTrue(names.contains(probe.getTcpSocket().getPort().getStrVal()));
      } else if (probe.getGrpc() != null) {
        assertTrue(numbers.contains(probe.getGrpc().getPort()));
      } else {
        assertTrue(probe.getExec().getCommand().contains("health"));
      }
    }
  }

  private static void mountsNameVolumesOf(PodSpec pod) {
    Set<String> volumes =
        pod.getVolumes().stream().map(Volume::getName).collect(Collectors.toSet());
    Stream.concat(pod.getContainers().stream(), pod.getInitContainers().stream())
        .flatMap(container -> container.getVolumeMounts().stream())
        .map(VolumeMount::getName)
        .forEach(mount -> assertTrue(volumes.contains(mount), mount));
  }

  /** A router's targets are headless Services, one a rank. */
  private static void targetsNameServices(Container container, HelmChart chart) {
    String flag = "--experts=";
    Set<String> headless =
        chart
            .all(Service.class)
            .filter(service -> "None".equals(service.getSpec().getClusterIP()))
            .map(service -> "dns:///%s:8101".formatted(service.getMetadata().getName()))
            .collect(Collectors.toSet());
    container.getArgs().stream()
        .filter(argument -> argument.startsWith(flag))
        .forEach(argument ->
            assertEquals(
                headless,
                Set.copyOf(Arrays.asList(argument.substring(flag.length()).split(",", -1)))));
  }

  /** The command line itself says whether it knows the arguments. */
  @ParameterizedTest
  @ValueSource(strings = {"", GPU, TLS, "router.callersSecret=callers"})
  void theCommandKnowsEveryArgument(String values) throws Exception {
    HelmChart chart = HelmChart.render(values);
    for (Deployment deployment : chart.all(Deployment.class).toList()) {
      Container container = deployment.getSpec().getTemplate().getSpec().getContainers().getFirst();
      String help = Commands.guildhall(container.getArgs().getFirst(), "--help");
      for (String argument : container.getArgs().subList(1, container.getArgs().size())) {
        String flag = argument.split("=", 2)[0];
        assertTrue(help.contains(flag), flag);
      }
    }
  }

  static Stream<Arguments> wrongValues() {
    return Stream.of(
        Arguments.of("experts.device=gpu", "/experts/device"),
        Arguments.of("router.replicas=0", "/router/replicas"),
        Arguments.of("experts.ranks=two", "/experts/ranks"),
        Arguments.of("rooter.replicas=1", "rooter"),
        Arguments.of("router.env.WIRE_DTYPE=bf16", "WIRE_DTYPE"),
        Arguments.of("serviceMonitor.interval=often", "/serviceMonitor/interval"),
        Arguments.of("image.registry=registry.example", "/image/registry"),
        Arguments.of("models.image.reference=m:1", "exactly one of persistentVolumeClaim"),
        Arguments.of("models.persistentVolumeClaim=", "exactly one of persistentVolumeClaim"));
  }

  @ParameterizedTest
  @MethodSource("wrongValues")
  void aWrongValueIsRefusedByName(String value, String named) {
    var refused = assertThrows(IllegalStateException.class, () -> HelmChart.render(value));
    assertTrue(String.valueOf(refused.getMessage()).contains(named), refused.getMessage());
  }

  @Test
  void gpusAreAskedForByExpertsOnly() throws Exception {
    HelmChart chart = HelmChart.render(GPU);
    for (Deployment deployment : chart.all(Deployment.class).toList()) {
      Container container = deployment.getSpec().getTemplate().getSpec().getContainers().getFirst();
      boolean expert = container.getName().equals("expert");
      assertEquals(expert, container.getResources().getLimits().containsKey("nvidia.com/gpu"));
      assertEquals(expert, container.getImage().startsWith("guildhall-expert-cuda:"));
    }
  }

  @Test
  void theOperatorsObjectsAreThereWhenAskedFor() throws Exception {
    HelmChart observed = HelmChart.render(OBSERVED);
    assertEquals(2, observed.all(ServiceMonitor.class).count());
    assertFalse(
        observed
            .all(PrometheusRule.class)
            .findFirst()
            .orElseThrow()
            .getSpec()
            .getGroups()
            .isEmpty());
    HelmChart bare = HelmChart.render();
    assertEquals(
        0, bare.all(ServiceMonitor.class).count() + bare.all(PrometheusRule.class).count());
    assertEquals(0, bare.all(Pod.class).count());
  }
}
