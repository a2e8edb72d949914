/** Certificates for tests, made by openssl: authorities, and certificates for servers on loopback and for clients. */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface Pair {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

export interface Authority {
  /** PEM. */
  readonly cert: string;
  /** A certificate for both ends of a connection, valid for its name and, unless others are given, for loopback. */
  readonly issue: (name: string, alternatives?: ReadonlyArray<string>) => Promise<Pair>;
}

const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

const loopback: ReadonlyArray<string> = ["DNS:localhost", "IP:127.0.0.1", "IP:::1"];

/** Makes a certificate authority whose files are in the directory. */
export const certificateAuthority = async (directory: string, name: string): Promise<Authority> => {
  const file = (extension: string) => join(directory, `${name}.${extension}`);
  const [cert, key] = [file("crt"), file("key")];
  await run("openssl", [
    "req",
    "-x509",
    ...newKey,
    "-keyout",
    key,
    "-out",
    cert,
    "-subj",
    `/CN=${name}`,
    "-days",
    "2",
  ]);
  let issued = 0;
  const issue = async (subject: string, alternatives = loopback): Promise<Pair> => {
    const of = (extension: string) => file(`${issued}.${extension}`);
    issued += 1;
    const [request, subjectKey, subjectCert, extensions] = [of("csr"), of("key"), of("crt"), of("ext")];
    await writeFile(
      extensions,
      `subjectAltName=${[`DNS:${subject}`, ...alternatives].join()}
`,
    );
    await run("openssl", [
      "req",
      "-new",
      ...newKey,
      "-keyout",
      subjectKey,
      "-out",
      request,
      "-subj",
      `/CN=${subject}`,
    ]);
    const signing = ["-CA", cert, "-CAkey", key, "-CAcreateserial", "-days", "2", "-extfile", extensions];
    await run("openssl", ["x509", "-req", "-in", request, "-out", subjectCert, ...signing]);
    return { cert: await readFile(subjectCert, "utf8"), key: await readFile(subjectKey, "utf8") };
  };
  return { cert: await readFile(cert, "utf8"), issue };
};
