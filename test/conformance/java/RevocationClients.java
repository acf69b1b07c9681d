import com.nimbusds.oauth2.sdk.ClientCredentialsGrant;
import com.nimbusds.oauth2.sdk.TokenIntrospectionRequest;
import com.nimbusds.oauth2.sdk.TokenIntrospectionResponse;
import com.nimbusds.oauth2.sdk.TokenRequest;
import com.nimbusds.oauth2.sdk.TokenResponse;
import com.nimbusds.oauth2.sdk.TokenRevocationRequest;
import com.nimbusds.oauth2.sdk.as.AuthorizationServerMetadata;
import com.nimbusds.oauth2.sdk.auth.ClientAuthentication;
import com.nimbusds.oauth2.sdk.auth.ClientSecretBasic;
import com.nimbusds.oauth2.sdk.auth.ClientSecretPost;
import com.nimbusds.oauth2.sdk.auth.Secret;
import com.nimbusds.oauth2.sdk.id.ClientID;
import com.nimbusds.oauth2.sdk.id.Issuer;
import com.nimbusds.oauth2.sdk.token.AccessToken;
import com.nimbusds.oauth2.sdk.token.BearerAccessToken;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import net.minidev.json.JSONObject;
import org.springframework.security.oauth2.core.OAuth2AuthenticatedPrincipal;
import org.springframework.security.oauth2.server.resource.introspection.BadOpaqueTokenException;
import org.springframework.security.oauth2.server.resource.introspection.OAuth2IntrospectionException;
import org.springframework.security.oauth2.server.resource.introspection.OpaqueTokenIntrospector;
import org.springframework.security.oauth2.server.resource.introspection.SpringOpaqueTokenIntrospector;

/**
 * Revokes and introspects tokens with Nimbus' OAuth 2.0 SDK, after discovery, and introspects them with Spring Security's resource server.
 * Prints what they found as JSON.
 *
 * usage: RevocationClients ISSUER CLIENT_ID INTROSPECTOR_ID &lt; secret of the client, secret of the introspector, tokens: one a line
 */
public class RevocationClients {
    private final AuthorizationServerMetadata server;

    private RevocationClients(AuthorizationServerMetadata server) {
        this.server = server;
    }

    public static void main(String[] arguments) throws Exception {
        List<String> lines = List.of(new String(System.in.readAllBytes()).split("\n"));
        Issuer issuer = new Issuer(arguments[0]);
        RevocationClients clients = new RevocationClients(AuthorizationServerMetadata.resolve(issuer));
        ClientID client = new ClientID(arguments[1]);
        ClientID introspector = new ClientID(arguments[2]);
        Secret clientSecret = new Secret(lines.get(0));
        Secret introspectorSecret = new Secret(lines.get(1));
        List<String> strangers = lines.subList(2, lines.size());
        JSONObject found = new JSONObject();
        found.put("basic", clients.lifeOfToken(
            new ClientSecretBasic(client, clientSecret), new ClientSecretBasic(introspector, introspectorSecret)));
        found.put("post", clients.lifeOfToken(
            new ClientSecretPost(client, clientSecret), new ClientSecretPost(introspector, introspectorSecret)));
        List<Object> ofStrangers = new ArrayList<>();
        for (String token : strangers) {
            ofStrangers.add(clients.introspect(new ClientSecretBasic(introspector, introspectorSecret), token));
        }
        found.put("strangers", ofStrangers);
        found.put("wrongSecret", clients.introspect(
            new ClientSecretBasic(introspector, new Secret("x".repeat(43))), strangers.get(0)));
        found.put("revokedByStranger", clients.revoke(
            new ClientSecretBasic(client, new Secret("x".repeat(43))), strangers.get(0)));
        found.put("spring", clients.bySpring(
            client, clientSecret, introspector.getValue(), introspectorSecret.getValue(), strangers));
        System.out.println(found);
    }

    /** What introspection says of a token before and after its revocation, and the statuses of two revocations. */
    private Map<String, Object> lifeOfToken(ClientAuthentication client, ClientAuthentication introspector) throws Exception {
        String token = exchange(client);
        JSONObject life = new JSONObject();
        life.put("before", introspect(introspector, token));
        life.put("revoked", revoke(client, token));
        life.put("after", introspect(introspector, token));
        life.put("repeated", revoke(client, token));
        return life;
    }

    private String exchange(ClientAuthentication client) throws Exception {
        TokenRequest request = new TokenRequest.Builder(
            server.getTokenEndpointURI(), client, new ClientCredentialsGrant()).build();
        TokenResponse response = TokenResponse.parse(request.toHTTPRequest().send());
        return response.toSuccessResponse().getTokens().getAccessToken().getValue();
    }

    private Object introspect(ClientAuthentication introspector, String token) throws Exception {
        AccessToken presented = new BearerAccessToken(token);
        TokenIntrospectionRequest request = new TokenIntrospectionRequest(
            server.getIntrospectionEndpointURI(), introspector, presented);
        TokenIntrospectionResponse response = TokenIntrospectionResponse.parse(request.toHTTPRequest().send());
        return response.indicatesSuccess()
            ? response.toSuccessResponse().toJSONObject()
            : response.toErrorResponse().getErrorObject().toJSONObject();
    }

    private int revoke(ClientAuthentication client, String token) throws Exception {
        TokenRevocationRequest request = new TokenRevocationRequest(
            server.getRevocationEndpointURI(), client, new BearerAccessToken(token));
        return request.toHTTPRequest().send().getStatusCode();
    }

    private Map<String, Object> bySpring(
        ClientID client, Secret clientSecret, String id, String secret, List<String> strangers) throws Exception {
        String live = exchange(new ClientSecretBasic(client, clientSecret));
        OpaqueTokenIntrospector spring = introspector(id, secret);
        OAuth2AuthenticatedPrincipal principal = spring.introspect(live);
        JSONObject found = new JSONObject();
        found.put("subject", principal.getAttribute("sub"));
        found.put("tenant", principal.getAttribute("tenant"));
        found.put("authorities", principal.getAuthorities().stream().map(String::valueOf).toList());
        List<String> refusals = new ArrayList<>();
        for (String token : strangers) refusals.add(refusalOf(spring, token));
        found.put("strangers", refusals);
        found.put("wrongSecret", refusalOf(introspector(id, "x".repeat(43)), live));
        return found;
    }

    private OpaqueTokenIntrospector introspector(String id, String secret) {
        return SpringOpaqueTokenIntrospector.withIntrospectionUri(server.getIntrospectionEndpointURI().toString())
            .clientId(id)
            .clientSecret(secret)
            .build();
    }

    private static String refusalOf(OpaqueTokenIntrospector spring, String token) {
        try {
            spring.introspect(token);
            return "accepted";
        } catch (BadOpaqueTokenException refusal) {
            return "a bad token";
        } catch (OAuth2IntrospectionException failure) {
            return "no answer";
        }
    }
}
