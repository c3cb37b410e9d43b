/** Certificates for `localhost` that are signed by themselves. */
import { execFileSync } from 'node:child_process';

/** Writes a certificate and its key. @param name of its subject */
export function makeCertificate(name: string, certPath: string, keyPath: string): void {
  const out = ['-keyout', keyPath, '-out', certPath];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost', '-days', '100'];
  execFileSync('openssl', ['req', '-x509', ...curve, ...subject, ...out], { stdio: 'ignore' });
}
