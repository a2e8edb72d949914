/**
 * What users read in a login with a browser. Lines fit into 80 columns, but for links, which have a line of their own.
 * Plain ASCII but for the QR code: OpenSSH writes anything else as octal numbers.
 */
import { Redacted } from "effect";
import { renderUnicodeCompact } from "uqr";
import type { CodeProblem } from "../../../machines/authorization-code.ts";
import type { DeviceAuthorization } from "../../../machines/device-flow.ts";
import type { Questions } from "../../ssh/credentials.ts";

/** OpenSSH's client cuts an instruction off at 1024 bytes; a banner may be longer. */
const LONGEST_INSTRUCTION = 1000;

const TERMINAL_COLUMNS = 80;

/** What is shown: a banner before, if there is one, and the questions. */
export interface Words {
  readonly banner: string | undefined;
  readonly questions: Questions;
}

/** @param waitsWithoutPrompt whether the client shows an instruction without asking anything. */
export const deviceCodeWords = (
  authorization: DeviceAuthorization,
  {
    waitsWithoutPrompt,
    showsQrCode,
  }: { readonly waitsWithoutPrompt: boolean; readonly showsQrCode: boolean },
): Words => {
  const { verificationUri, verificationUriComplete, userCode, expiresInMillis } = authorization;
  const link =
    verificationUriComplete === undefined ? verificationUri : Redacted.value(verificationUriComplete);
  const doing =
    verificationUriComplete === undefined
      ? `and enter this code: ${Redacted.value(userCode)}`
      : `and check that it shows this code: ${Redacted.value(userCode)}`;
  const ending = waitsWithoutPrompt ? "When you have approved it, the login goes on here by itself.\n" : "";
  const valid = `The code is valid for ${minutes(expiresInMillis)}.`;
  const instruction = `To log in, open this link in a browser:\n\n  ${link}\n\n${doing}\n\n${valid}\n${ending}`;
  return worded(
    instruction,
    waitsWithoutPrompt ? [] : [{ text: "Press Enter when you have approved the login: ", echo: true }],
    showsQrCode ? qrCode(link) : undefined,
  );
};

/** PuTTY and what is made of it break lines and begin the next with `> `: nobody can copy a long link there. */
export const breaksLongLines = (clientVersion: string): boolean =>
  /PuTTY|WinSCP|FileZilla/i.test(clientVersion);

export const authorizationCodeWords = (
  link: Redacted.Redacted<string>,
  problem: CodeProblem | undefined,
): Words => {
  const prompts = [{ text: "Code: ", echo: true }];
  if (problem !== undefined) return worded(`${problems[problem]}\n`, prompts);
  return worded(
    `To log in, open this link in a browser:\n\n  ${Redacted.value(link)}\n\nWhen you are logged in there, a page shows you a code. Enter it here.\n`,
    prompts,
  );
};

export const NOT_ANSWERING = "The login server does not answer yet. Trying again...";

const problems: Readonly<Record<CodeProblem, string>> = {
  unreadable: "That is not a code. Please copy all of the code that the page shows.",
  notReturned: "You are not logged in with the browser yet. Please do that first.",
  mismatch: "That is not the code of this login. Please check it and try again.",
};

const worded = (instruction: string, prompts: Questions["prompts"], picture?: string): Words => {
  const isLong = instruction.length > LONGEST_INSTRUCTION;
  const banner = [...(picture === undefined ? [] : [picture]), ...(isLong ? [instruction] : [])].join("\n");
  return {
    banner: banner === "" ? undefined : banner,
    questions: { title: "", instruction: isLong ? "" : instruction, prompts },
  };
};

/** Its light parts are drawn, for terminals with a dark background. Of a link that is too long for one, nothing is. */
const qrCode = (link: string): string | undefined => {
  const picture = renderUnicodeCompact(link, { border: 2 });
  return picture.indexOf("\n") > TERMINAL_COLUMNS ? undefined : picture;
};

const minutes = (millis: number): string => {
  const count = Math.floor(millis / 60_000);
  if (count === 0) return `${Math.floor(millis / 1000)} seconds`;
  return count === 1 ? "1 minute" : `${count} minutes`;
};
