// Has Sigstore's own verifier check what `fedwasm plan sign` wrote:
//   npm install @sigstore/verify@4.1.3 @sigstore/bundle@5
//   node sigstore_verify.mjs PLAN.wasm KEY.pub
// Checks PLAN.wasm.sigstore.json and PLAN.wasm.statement.sigstore.json, and that a
// changed byte and another key are refused.
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(process.cwd() + '/');
const { bundleFromJSON } = require('@sigstore/bundle');
const { Verifier, toSignedEntity, toTrustMaterial } = require('@sigstore/verify');

const [plan, key] = process.argv.slice(2);
const bytes = readFileSync(plan);

function verify(file, artifact, publicKey) {
  const bundle = bundleFromJSON(JSON.parse(readFileSync(file, 'utf8')));
  const material = toTrustMaterial(
    { mediaType: '', tlogs: [], certificateAuthorities: [], ctlogs: [], timestampAuthorities: [] },
    () => ({ publicKey, validFor: () => true }),
  );
  const verifier = new Verifier(material, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 });
  verifier.verify(toSignedEntity(bundle, artifact));
}

function refused(what, attempt) {
  try {
    attempt();
  } catch {
    console.log(`refused: ${what}`);
    return;
  }
  throw new Error(`${what} is accepted`);
}

const publicKey = createPublicKey(readFileSync(key));
const signature = `${plan}.sigstore.json`;
verify(signature, bytes, publicKey);
console.log('accepted: the signature of the bytes');
verify(`${plan}.statement.sigstore.json`, undefined, publicKey);
console.log('accepted: the statement');
const changed = Buffer.from(bytes);
changed[100] ^= 1;
refused('a changed byte', () => verify(signature, changed, publicKey));
const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey;
refused('another key', () => verify(signature, bytes, other));
