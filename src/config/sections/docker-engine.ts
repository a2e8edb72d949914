/**
 * The Engine API's own options for a container, passed on as they are (Docker Engine API, ContainerCreate). Their
 * names are the API's; the reference's YAML spells them in lower case and nests the resources, configuration servers
 * send the API's JSON: every spelling is read, in any case.
 */
import { Duration, Schema, SchemaGetter } from "effect";
import { type EncodedAnnotations, Flag, parsed, Variable } from "../codecs.ts";
import { parseGoDuration } from "../go-duration.ts";

const anyCase: EncodedAnnotations = { anyCase: true };
const zeroIsAValue: EncodedAnnotations = { zeroIsAValue: true };

type Optional<Fields extends Schema.Struct.Fields> = {
  readonly [Name in keyof Fields]: Schema.optionalKey<Fields[Name]>;
};

/** An object of the Engine API: every key may be left out, and may be written in any case. */
const engineObject = <const Fields extends Readonly<Record<string, Schema.Constraint>>>(fields: Fields) =>
  Schema.Struct(
    Object.fromEntries(
      Object.entries(fields).map(([name, codec]) => [name, Schema.optionalKey(codec)]),
    ) as unknown as Optional<Fields>,
  ).annotate({ ...anyCase });

const text = Schema.String;
const number = Schema.Int;
/** A number for which 0 is not "leave it to the Engine": Go's pointer to a number. */
const numberOrZero = Schema.Int.annotate({ ...zeroIsAValue });
const list = Schema.Array(Schema.String);
const listOfLists = Schema.Array(list);
const map = Schema.Record(Schema.String, Schema.String);
const set = Schema.Record(Schema.String, Schema.NullOr(Schema.Struct({})));

/** A command line: words, or one string that is one word (the API's StrSlice). */
const words = Schema.Union([list, Schema.String]).pipe(
  Schema.decodeTo(list, {
    decode: SchemaGetter.transform((value) => (typeof value === "string" ? [value] : value)),
    encode: SchemaGetter.transform((value) => value),
  }),
);

/** Nanoseconds, also written as a Go duration. */
const nanoseconds = Schema.Union([Schema.String, Schema.Int]).pipe(
  Schema.decodeTo(Schema.Int, {
    decode: parsed<number, string | number>((value) => {
      if (typeof value === "number") return value;
      const duration = parseGoDuration(value);
      return duration === undefined ? undefined : Number(Duration.toNanosUnsafe(duration));
    }, "expected a duration such as 30s, or a number of nanoseconds"),
    encode: SchemaGetter.transform((value): string | number => value),
  }),
);

const octal = /^0o?([0-7]+)$/;

/** A file mode as Go reads it: `0755` is octal, 493 is the same number. */
const fileMode = Schema.Union([Schema.String, Schema.Int]).pipe(
  Schema.decodeTo(Schema.Int, {
    decode: parsed<number, string | number>((value) => {
      if (typeof value === "number") return value;
      const digits = octal.exec(value)?.[1];
      if (digits !== undefined) return Number.parseInt(digits, 8);
      return /^\d+$/.test(value) ? Number(value) : undefined;
    }, "expected a file mode such as 0755"),
    encode: SchemaGetter.transform((value): string | number => value),
  }),
);

const health = engineObject({
  Test: list,
  Interval: nanoseconds,
  Timeout: nanoseconds,
  StartPeriod: nanoseconds,
  StartInterval: nanoseconds,
  Retries: number,
});

/** The API's ContainerConfig: the `container` option. */
export const EngineContainer = engineObject({
  Hostname: text,
  Domainname: text,
  User: text,
  AttachStdin: Flag,
  AttachStdout: Flag,
  AttachStderr: Flag,
  ExposedPorts: set,
  Tty: Flag,
  OpenStdin: Flag,
  StdinOnce: Flag,
  Env: Schema.Array(Variable),
  Cmd: words,
  Healthcheck: health,
  ArgsEscaped: Flag,
  Image: text,
  Volumes: set,
  WorkingDir: text,
  Entrypoint: words,
  NetworkDisabled: Flag,
  MacAddress: text,
  OnBuild: list,
  Labels: map,
  StopSignal: text,
  StopTimeout: numberOrZero,
  Shell: words,
});

const weightDevices = Schema.Array(engineObject({ Path: text, Weight: number }));
const throttleDevices = Schema.Array(engineObject({ Path: text, Rate: number }));

const resources = {
  CpuShares: number,
  Memory: number,
  NanoCpus: number,
  CgroupParent: text,
  BlkioWeight: number,
  BlkioWeightDevice: weightDevices,
  BlkioDeviceReadBps: throttleDevices,
  BlkioDeviceWriteBps: throttleDevices,
  BlkioDeviceReadIOps: throttleDevices,
  BlkioDeviceWriteIOps: throttleDevices,
  CpuPeriod: number,
  CpuQuota: number,
  CpuRealtimePeriod: number,
  CpuRealtimeRuntime: number,
  CpusetCpus: text,
  CpusetMems: text,
  Devices: Schema.Array(engineObject({ PathOnHost: text, PathInContainer: text, CgroupPermissions: text })),
  DeviceCgroupRules: list,
  DeviceRequests: Schema.Array(
    engineObject({
      Driver: text,
      Count: number,
      DeviceIDs: list,
      Capabilities: listOfLists,
      Options: map,
    }),
  ),
  KernelMemory: number,
  KernelMemoryTCP: number,
  MemoryReservation: number,
  MemorySwap: number,
  MemorySwappiness: numberOrZero,
  OomKillDisable: Flag,
  PidsLimit: numberOrZero,
  Ulimits: Schema.Array(engineObject({ Name: text, Soft: number, Hard: number })),
  CpuCount: number,
  CpuPercent: number,
  IOMaximumIOps: number,
  IOMaximumBandwidth: number,
};

const mount = engineObject({
  Type: text,
  Source: text,
  Target: text,
  ReadOnly: Flag,
  Consistency: text,
  BindOptions: engineObject({
    Propagation: text,
    NonRecursive: Flag,
    CreateMountpoint: Flag,
    ReadOnlyNonRecursive: Flag,
    ReadOnlyForceRecursive: Flag,
  }),
  VolumeOptions: engineObject({
    NoCopy: Flag,
    Labels: map,
    Subpath: text,
    DriverConfig: engineObject({ Name: text, Options: map }),
  }),
  ImageOptions: engineObject({ Subpath: text }),
  TmpfsOptions: engineObject({ SizeBytes: number, Mode: fileMode, Options: listOfLists }),
  ClusterOptions: engineObject({}),
});

/** The API's HostConfig: the `host` option. The reference's YAML holds the resources one level deeper. */
export const EngineHost = engineObject({
  Binds: list,
  ContainerIDFile: text,
  LogConfig: engineObject({ Type: text, Config: map }),
  NetworkMode: text,
  PortBindings: Schema.Record(
    Schema.String,
    Schema.NullOr(Schema.Array(engineObject({ HostIp: text, HostPort: text }))),
  ),
  RestartPolicy: engineObject({ Name: text, MaximumRetryCount: number }),
  AutoRemove: Flag,
  VolumeDriver: text,
  VolumesFrom: list,
  ConsoleSize: Schema.Array(Schema.Int),
  Annotations: map,
  CapAdd: list,
  CapDrop: list,
  CgroupnsMode: text,
  Dns: list,
  DnsOptions: list,
  DnsSearch: list,
  ExtraHosts: list,
  GroupAdd: list,
  IpcMode: text,
  Cgroup: text,
  Links: list,
  OomScoreAdj: number,
  PidMode: text,
  Privileged: Flag,
  PublishAllPorts: Flag,
  ReadonlyRootfs: Flag,
  SecurityOpt: list,
  StorageOpt: map,
  Tmpfs: map,
  UTSMode: text,
  UsernsMode: text,
  ShmSize: number,
  Sysctls: map,
  Runtime: text,
  Isolation: text,
  Mounts: Schema.Array(mount),
  MaskedPaths: list,
  ReadonlyPaths: list,
  Init: Flag,
  Resources: engineObject(resources),
  ...resources,
});

/** The API's NetworkingConfig: the `network` option. */
export const EngineNetwork = engineObject({
  EndpointsConfig: Schema.Record(
    Schema.String,
    Schema.NullOr(
      engineObject({
        IPAMConfig: engineObject({ IPv4Address: text, IPv6Address: text, LinkLocalIPs: list }),
        Links: list,
        Aliases: list,
        NetworkID: text,
        EndpointID: text,
        Gateway: text,
        IPAddress: text,
        IPPrefixLen: number,
        IPv6Gateway: text,
        GlobalIPv6Address: text,
        GlobalIPv6PrefixLen: number,
        MacAddress: text,
        DriverOpts: map,
        DNSNames: list,
        GwPriority: number,
      }),
    ),
  ),
});

/** The OCI image specification's platform: the `platform` option. */
export const EnginePlatform = engineObject({
  architecture: text,
  os: text,
  "os.version": text,
  "os.features": list,
  variant: text,
});
