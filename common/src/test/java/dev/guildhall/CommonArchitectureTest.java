package dev.guildhall;

import static com.tngtech.archunit.base.DescribedPredicate.not;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.belongToAnyOf;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import dev.guildhall.repository.Activation;
import dev.guildhall.repository.ExpertWeights;
import dev.guildhall.repository.Linear;
import dev.guildhall.repository.Precision;
import dev.guildhall.repository.ProjectionWeights;
import java.util.Arrays;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Which package of the module may know which other, and which outside library. */
class CommonArchitectureTest {
  private static JavaClasses common;

  @BeforeAll
  static void importClasses() {
    common =
        new ClassFileImporter()
            .withImportOption(new ImportOption.DoNotIncludeTests())
            .importPackages(
                in("error"),
                in("files"),
                in("tensor"),
                in("safetensors"),
                in("repository"),
                in("onnx"),
                in("rpc"),
                in("admin"),
                in("metrics"));
  }

  private static String in(String name) {
    return "dev.guildhall." + name;
  }

  @Test
  void errorKnowsNothingOfOurs() {
    dependsOnlyOn("error");
  }

  @Test
  void filesKnowErrorsOnly() {
    dependsOnlyOn("files", "error");
  }

  @Test
  void tensorKnowsErrorsOnly() {
    dependsOnlyOn("tensor", "error");
  }

  @Test
  void safetensorsKnowsTensorsOnly() {
    dependsOnlyOn("safetensors", "tensor", "error");
  }

  @Test
  void repositoryKnowsWhatItReads() {
    dependsOnlyOn("repository", "safetensors", "tensor", "error", "proto");
  }

  @Test
  void onnxKnowsExpertsButNoLayers() {
    dependsOnlyOn("onnx", "repository", "safetensors", "tensor", "error", "proto", "proto.onnx");
    noClasses()
        .that()
        .resideInAPackage(in("onnx"))
        .should()
        .dependOnClassesThat(
            resideInAPackage(in("repository"))
                .and(
                    not(
                        belongToAnyOf(
                            Activation.class,
                            ExpertWeights.class,
                            Linear.class,
                            Precision.class,
                            ProjectionWeights.class))))
        .check(common);
  }

  @Test
  void rpcAndMetricsKnowNoLayers() {
    dependsOnlyOn("rpc", "error", "files", "proto", "proto.inference", "tensor");
    dependsOnlyOn("metrics", "error");
    dependsOnlyOn("admin", "repository", "rpc", "error", "proto");
  }

  @Test
  void onlyWhatServesCallsUsesGrpcAndOnlyRpcNetty() {
    noClasses()
        .that()
        .resideOutsideOfPackages(in("rpc"), in("admin"))
        .should()
        .dependOnClassesThat()
        .resideInAPackage("io.grpc..")
        .check(common);
    onlyUsedBy("rpc", "io.netty..");
  }

  @Test
  void onlyOnnxUsesOnnxRuntime() {
    onlyUsedBy("onnx", "ai.onnxruntime..");
  }

  @Test
  void onlyMetricsUsesMicrometerAndPrometheus() {
    onlyUsedBy("metrics", "io.micrometer..", "io.prometheus..");
  }

  @Test
  void protobufStaysWithThePackagesThatSpeakIt() {
    noClasses()
        .that()
        .resideOutsideOfPackages(in("rpc"), in("repository"), in("onnx"))
        .should()
        .dependOnClassesThat()
        .resideInAPackage("com.google.protobuf..")
        .check(common);
  }

  private static void dependsOnlyOn(String name, String... others) {
    String[] allowed = Arrays.copyOf(others, others.length + 1);
    allowed[others.length] = name;
    classes()
        .that()
        .resideInAPackage(in(name))
        .should()
        .onlyDependOnClassesThat(
            not(resideInAPackage("dev.guildhall.."))
                .or(
                    resideInAnyPackage(
                        Arrays.stream(allowed)
                            .map(CommonArchitectureTest::in)
                            .toArray(String[]::new))))
        .check(common);
  }

  private static void onlyUsedBy(String name, String... libraries) {
    noClasses()
        .that()
        .resideOutsideOfPackage(in(name))
        .should()
        .dependOnClassesThat()
        .resideInAnyPackage(libraries)
        .check(common);
  }
}
