package dev.guildhall.deploy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.guildhall.Tools;
import io.fabric8.kubernetes.api.model.ConfigMap;
import io.fabric8.kubernetes.api.model.Container;
import io.fabric8.kubernetes.api.model.ContainerPort;
import io.fabric8.kubernetes.api.model.EnvVar;
import io.fabric8.kubernetes.api.model.LabelSelector;
import io.fabric8.kubernetes.api.model.PodSpec;
import io.fabric8.kubernetes.api.model.Probe;
import io.fabric8.kubernetes.api.model.ResourceFieldSelector;
import io.fabric8.kubernetes.api.model.Service;
import io.fabric8.kubernetes.api.model.ServicePort;
import io.fabric8.kubernetes.api.model.Volume;
import io.fabric8.kubernetes.api.model.VolumeMount;
import io.fabric8.kubernetes.api.model.apps.Deployment;
import io.fabric8.kubernetes.api.model.autoscaling.v2.HorizontalPodAutoscaler;
import io.fabric8.kubernetes.api.model.networking.v1.NetworkPolicy;
import io.fabric8.kubernetes.api.model.networking.v1.NetworkPolicyIngressRule;
import io.fabric8.kubernetes.api.model.policy.v1.PodDisruptionBudget;
import io.fabric8.openshift.api.model.monitoring.v1.PrometheusRule;
import io.fabric8.openshift.api.model.monitoring.v1.ServiceMonitor;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
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
      "serviceMonitor.enabled=true,prometheusRule.enabled=true,networkPolicy.enabled=true,"
          + "dashboards.enabled=true";
  private static final String SCALED =
      "router.autoscaling.enabled=true,experts.autoscaling.enabled=true,experts.ranks=3";
  private static final String IMAGE =
      "models.persistentVolumeClaim=,models.image.reference=models:1";
  private static final String OBJECT_STORE =
      "models.persistentVolumeClaim=,models.objectStore.image=rclone:1,"
          + "models.objectStore.args={copy,s3:models,/models},models.objectStore.secret=keys";

  @TempDir private Path folder;

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
    int ranks = values.contains("ranks=3") ? 3 : 2;
    assertEquals(1 + ranks, chart.all(Deployment.class).count());
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
      Set<String> ports = portNames(selected);
      for (ServicePort port : service.getSpec().getPorts()) {
        assertTrue(ports.contains(port.getTargetPort().getStrVal()), port.toString());
      }
    }
    policiesNamePortsOfPods(chart);
    monitorsNamePortsOfServices(chart);
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
    List<Deployment> selected = selected(chart, selector);
    assertEquals(1, selected.size(), selector.toString());
    return selected.getFirst();
  }

  private static List<Deployment> selected(HelmChart chart, Map<String, String> selector) {
    return chart
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
  }

  /** Every pod is behind one policy, whose ports it has and whose peers there are. */
  private static void policiesNamePortsOfPods(HelmChart chart) {
    Set<Deployment> behindOne = new HashSet<>();
    for (NetworkPolicy policy : chart.all(NetworkPolicy.class).toList()) {
      List<Deployment> pods = selected(chart, policy.getSpec().getPodSelector().getMatchLabels());
      pods.forEach(pod -> assertTrue(behindOne.add(pod), pod.getMetadata().getName()));
      for (NetworkPolicyIngressRule rule : policy.getSpec().getIngress()) {
        Set<String> allowed =
            rule.getPorts().stream()
                .map(port -> port.getPort().getStrVal())
                .collect(Collectors.toSet());
        pods.forEach(pod -> assertTrue(portNames(pod).containsAll(allowed), allowed.toString()));
        rule.getFrom()
            .forEach(peer ->
                assertFalse(selected(chart, peer.getPodSelector().getMatchLabels()).isEmpty()));
      }
    }
    if (chart.all(NetworkPolicy.class).findAny().isPresent()) {
      assertEquals(chart.all(Deployment.class).count(), behindOne.size());
    }
  }

  /** Every pod's metrics are read through one Service, by one monitor. */
  private static void monitorsNamePortsOfServices(HelmChart chart) {
    Set<Map<String, String>> read = new HashSet<>();
    for (ServiceMonitor monitor : chart.all(ServiceMonitor.class).toList()) {
      List<Service> services =
          chart
              .all(Service.class)
              .filter(service ->
                  matches(monitor.getSpec().getSelector(), service.getMetadata().getLabels()))
              .toList();
      assertFalse(services.isEmpty());
      for (Service service : services) {
        assertTrue(read.add(service.getSpec().getSelector()), service.getMetadata().getName());
        Set<String> ports =
            service.getSpec().getPorts().stream()
                .map(ServicePort::getName)
                .collect(Collectors.toSet());
        monitor
            .getSpec()
            .getEndpoints()
            .forEach(endpoint -> assertTrue(ports.contains(endpoint.getPort())));
      }
    }
    if (chart.all(ServiceMonitor.class).findAny().isPresent()) {
      assertEquals(chart.all(Deployment.class).count(), read.size());
    }
  }

  private static boolean matches(LabelSelector selector, Map<String, String> labels) {
    return labels.entrySet().containsAll(selector.getMatchLabels().entrySet())
        && selector.getMatchExpressions().stream()
            .allMatch(required ->
                required.getValues().contains(labels.get(required.getKey()))
                    == required.getOperator().equals("In"));
  }

  private static Set<String> portNames(Deployment deployment) {
    return deployment
        .getSpec()
        .getTemplate()
        .getSpec()
        .getContainers()
        .getFirst()
        .getPorts()
        .stream()
        .map(ContainerPort::getName)
        .collect(Collectors.toSet());
  }

  private static void probesNamePortsOf(Container container) {
    Map<String, Integer> ports =
        container.getPorts().stream()
            .collect(Collectors.toMap(ContainerPort::getName, ContainerPort::getContainerPort));
    for (Probe probe : List.of(container.getStartupProbe(), container.getLivenessProbe())) {
      assertTrue(ports.containsKey(probe.getTcpSocket().getPort().getStrVal()));
    }
    // With TLS and without: that port has none.
    assertEquals(ports.get("health"), container.getReadinessProbe().getGrpc().getPort());
    assertTrue(container.getArgs().contains("--health-port=" + ports.get("health")));
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
            .filter(service -> !service.getSpec().getSelector().containsValue("router"))
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
        Arguments.of("experts.ranks=null", "ranks"),
        Arguments.of("experts.autoscaling.minReplicas=9", "experts.autoscaling: minReplicas is 9"),
        Arguments.of("router.autoscaling.maxReplicas=1", "router.autoscaling: minReplicas is 2"),
        Arguments.of("models.image.reference=m:1", "given: persistentVolumeClaim, image"),
        Arguments.of("models.persistentVolumeClaim=", "given: none"));
  }

  @ParameterizedTest
  @MethodSource("wrongValues")
  void aWrongValueIsRefusedByName(String value, String named) {
    var refused = assertThrows(IllegalStateException.class, () -> HelmChart.render(value));
    assertTrue(String.valueOf(refused.getMessage()).contains(named), refused.getMessage());
  }

  /** Routers look names up every 5 s, and DNS may be 30 s old. */
  @Test
  void expertsAreReplacedNoFasterThanRoutersFindThem() throws Exception {
    for (Deployment deployment : HelmChart.render().all(Deployment.class).toList()) {
      PodSpec pod = deployment.getSpec().getTemplate().getSpec();
      Container container = pod.getContainers().getFirst();
      long asleep = container.getLifecycle().getPreStop().getSleep().getSeconds();
      // A server waits for 25 s at most for what is in progress.
      assertTrue(pod.getTerminationGracePeriodSeconds() >= asleep + 25);
      if (container.getName().equals("expert")) {
        assertTrue(deployment.getSpec().getMinReadySeconds() >= 35);
        assertTrue(asleep >= 10);
      }
    }
  }

  @Test
  void aJvmCountsTheProcessorsThatAreRequestedUnlessThereIsALimit() throws Exception {
    HelmChart chart =
        HelmChart.render("router.resources.limits.cpu=4,experts.jvmOptions=-XX:+UseZGC");
    for (Deployment deployment : chart.all(Deployment.class).toList()) {
      Container container = deployment.getSpec().getTemplate().getSpec().getContainers().getFirst();
      List<EnvVar> variables = container.getEnv();
      if (container.getName().equals("router")) {
        assertEquals(List.of(), variables);
      } else {
        ResourceFieldSelector requested = variables.get(0).getValueFrom().getResourceFieldRef();
        assertEquals("requests.cpu", requested.getResource());
        assertEquals("1", String.valueOf(requested.getDivisor()));
        assertEquals("JDK_JAVA_OPTIONS", variables.get(1).getName());
        assertEquals(
            "-XX:ActiveProcessorCount=$(%s) -XX:+UseZGC".formatted(variables.get(0).getName()),
            variables.get(1).getValue());
      }
    }
  }

  /** Where all numbers are floating-point. */
  @Test
  void numbersOfAValuesFileStayWhole() throws Exception {
    Path values =
        Files.writeString(
            folder.resolve("values.yaml"),
            """
            router:
              env: { GUILDHALL_MAX_REQUEST_BYTES: 8388608 }
              autoscaling: { enabled: true, tokensInFlight: 1048576 }
            experts:
              env: { GUILDHALL_MAX_QUEUED_BYTES: 8589934592 }
            """);
    HelmChart chart = HelmChart.renderFile(values);
    Set<String> numbers =
        chart
            .all(Deployment.class)
            .flatMap(deployment ->
                deployment
                    .getSpec()
                    .getTemplate()
                    .getSpec()
                    .getContainers()
                    .getFirst()
                    .getEnv()
                    .stream())
            .filter(variable -> variable.getName().startsWith("GUILDHALL_"))
            .map(EnvVar::getValue)
            .collect(Collectors.toSet());
    assertEquals(Set.of("8388608", "8589934592"), numbers);
    HorizontalPodAutoscaler scaler =
        chart.all(HorizontalPodAutoscaler.class).findFirst().orElseThrow();
    assertEquals(
        "1048576",
        String.valueOf(
            scaler.getSpec().getMetrics().getFirst().getPods().getTarget().getAverageValue()));
  }

  @Test
  void noVolumeHidesWhatAnImageOfModelsHas() throws Exception {
    for (Deployment deployment : HelmChart.render(IMAGE).all(Deployment.class).toList()) {
      PodSpec pod = deployment.getSpec().getTemplate().getSpec();
      Container copying = pod.getInitContainers().getFirst();
      assertEquals(List.of("cp", "-R", "/models/.", "/copy"), copying.getCommand());
      VolumeMount copied = copying.getVolumeMounts().getFirst();
      assertEquals("/copy", copied.getMountPath());
      assertTrue(
          pod.getContainers().getFirst().getVolumeMounts().stream()
              .anyMatch(mount ->
                  mount.getName().equals(copied.getName())
                      && mount.getMountPath().equals("/models")));
      assertTrue(copying.getResources().getLimits().containsKey("memory"));
    }
  }

  @Test
  void onlyRequestsAreOpenToTheWorld() throws Exception {
    HelmChart chart = HelmChart.render("router.service.type=LoadBalancer");
    List<Service> open =
        chart
            .all(Service.class)
            .filter(service -> !"None".equals(service.getSpec().getClusterIP()))
            .toList();
    assertEquals(1, open.size());
    assertEquals("LoadBalancer", open.getFirst().getSpec().getType());
    assertEquals(
        List.of("http", "grpc"),
        open.getFirst().getSpec().getPorts().stream().map(ServicePort::getName).toList());
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
    List<ConfigMap> dashboards = observed.all(ConfigMap.class).toList();
    try (Stream<Path> files =
        Files.list(Commands.ROOT.resolve(HelmChart.CHART).resolve("files/dashboards"))) {
      assertEquals(files.count(), dashboards.size());
    }
    for (ConfigMap dashboard : dashboards) {
      assertEquals("1", dashboard.getMetadata().getLabels().get("grafana_dashboard"));
      for (String json : dashboard.getData().values()) {
        assertTrue(new ObjectMapper().readTree(json).path("uid").asText().startsWith("guildhall-"));
      }
    }
    HelmChart bare = HelmChart.render();
    assertEquals(
        0, bare.all(ServiceMonitor.class).count() + bare.all(PrometheusRule.class).count());
    assertEquals(0, bare.all(ConfigMap.class).count() + bare.all(NetworkPolicy.class).count());
  }
}
